//! The gRPC services: wire types in, domain types out, errors as statuses. Knows no socket (that is
//! `server`) and not Feishu; built by `app`.

pub mod health;

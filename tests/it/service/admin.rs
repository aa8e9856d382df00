//! Administration, through the API: what is flushed is asked for anew, and the status tells how it is.

mod flush;
mod status;
mod store;
mod strangers;

//! What the options of the command line take.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use clap::ValueEnum;
use feishu_id::pb::identity::UserIdType;

#[derive(Clone, Copy, ValueEnum)]
pub enum Arrivals {
    Poisson,
    Even,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Kinds {
    Email,
    Mobile,
    Mixed,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    Table,
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "Feishu's names")]
pub enum IdType {
    UserId,
    OpenId,
    UnionId,
}

impl From<IdType> for UserIdType {
    fn from(kind: IdType) -> Self {
        match kind {
            IdType::UserId => Self::UserId,
            IdType::OpenId => Self::OpenId,
            IdType::UnionId => Self::UnionId,
        }
    }
}

/// Who is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Who {
    Different,
    Zipf { exponent: f64, people: u32 },
    Same,
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let zipf = || {
            let (exponent, people) = text.strip_prefix("zipf:")?.split_once(':')?;
            let exponent: f64 = exponent.parse().ok()?;
            let people: u32 = people.parse().ok()?;
            ((0.0..=10.0).contains(&exponent) && (1..=1_000_000).contains(&people))
                .then_some(Self::Zipf { exponent, people })
        };
        match text {
            "different" => Ok(Self::Different),
            "same" => Ok(Self::Same),
            _ => zipf().ok_or_else(|| {
                "takes different, same, or zipf:EXPONENT:PEOPLE with an exponent of 0 to 10 and \
                 1 to 1000000 people, as zipf:1.1:2000"
                    .to_owned()
            }),
        }
    }
}

/// An address on this machine: this program must not be turned on anybody else's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Server {
    pub address: SocketAddr,
    pub is_secure: bool,
}

impl FromStr for Server {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let secure = url.strip_prefix("https://");
        let is_secure = secure.is_some();
        let authority = secure.unwrap_or_else(|| url.strip_prefix("http://").unwrap_or(url));
        let authority = authority.trim_end_matches('/');
        let address = match authority.strip_prefix("localhost:").map(str::parse) {
            Some(Ok(port)) => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
            _ => authority.parse().ok(),
        };
        match address {
            Some(address) if address.ip().is_loopback() => Ok(Self { address, is_secure }),
            _ => Err("only loopback addresses, as http://127.0.0.1:50051".to_owned()),
        }
    }
}

fn number(text: &str, range: std::ops::RangeInclusive<f64>) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| range.contains(value));
    value.ok_or_else(|| format!("takes {} to {}", range.start(), range.end()))
}

pub fn positive(text: &str) -> Result<f64, String> {
    number(text, 0.001..=1_000_000.0)
}

pub fn seconds(text: &str) -> Result<f64, String> {
    number(text, 0.001..=3600.0)
}

pub fn not_negative(text: &str) -> Result<f64, String> {
    number(text, 0.0..=1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loaded() {
        for here in [
            "http://127.0.0.1:1",
            "127.9.9.9:1/",
            "localhost:1",
            "http://[::1]:1",
            "https://localhost:1",
        ] {
            assert!(here.parse::<Server>().is_ok(), "{here}");
        }
        for there in [
            "http://10.0.0.1:1",
            "example.com:1",
            "https://10.0.0.1:1",
            "localhost.x:1",
            "",
        ] {
            assert!(there.parse::<Server>().is_err(), "{there}");
        }
    }

    #[test]
    fn people_are_said_in_words() {
        let zipf = Who::Zipf {
            exponent: 1.1,
            people: 2000,
        };
        assert_eq!("zipf:1.1:2000".parse(), Ok(zipf));
        assert_eq!("same".parse(), Ok(Who::Same));
        for wrong in [
            "zipf",
            "zipf:1",
            "zipf:1:0",
            "zipf:NaN:1",
            "zipf:11:5",
            "all",
        ] {
            assert!(wrong.parse::<Who>().is_err(), "{wrong}");
        }
    }
}

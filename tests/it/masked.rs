//! Every type that holds somebody's data or a secret, shown in every way it can be shown.

use std::{
    collections::HashMap,
    fmt::{Debug, Display},
    time::{Duration, SystemTime},
};

use feishu_id::{
    batch::Looked,
    cache::Fact,
    config::{Config, FlagSetting, Sources, TenantConfig},
    directory::{DirectoryError, DirectoryErrorKind, LookupAnswer, LookupBatch, LookupScope},
    feishu::token::FetchedToken,
    identity::{Email, Identifier, Mobile, NormalForm, Person, UserIdType},
    pb::identity as pb,
    resolver::{Answered, Ids, Resolution, Resolved},
    store::{Class, DirectoryName, Vault},
};
use secrecy::SecretString;

/// In every text below, and in no other.
const MARK: &str = "zq7";
const EMAIL: &str = "zq7mail@zq7dom.example";
const NUMBER: &str = "+8619973518642";
const ID: &str = "zq7id";
const SECRET: &str = "zq7secret";

/// A value to be shown, by `Debug` and `Display` where it has them.
struct Shown<'a, T>(&'a T);

trait HasDebug {
    fn debug(&self) -> Option<String>;
}
trait NoDebug {
    fn debug(&self) -> Option<String> {
        None
    }
}
trait HasDisplay {
    fn display(&self) -> Option<String>;
}
trait NoDisplay {
    fn display(&self) -> Option<String> {
        None
    }
}

// Of `(&&Shown(..)).debug()` the compiler takes the first of these two whose bounds hold.
impl<T: Debug> HasDebug for &Shown<'_, T> {
    fn debug(&self) -> Option<String> {
        Some(format!("{:?} {:#?}", self.0, self.0))
    }
}
impl<T> NoDebug for Shown<'_, T> {}
impl<T: Display> HasDisplay for &Shown<'_, T> {
    fn display(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}
impl<T> NoDisplay for Shown<'_, T> {}

/// Everything that these values show.
macro_rules! shown {
    ($($value:expr),+ $(,)?) => {
        [$({
            let value = $value;
            let shown = &&Shown(&value);
            (stringify!($value), shown.debug(), shown.display())
        }),+]
    };
}

fn email() -> Identifier {
    Identifier::Email(Email::parse(EMAIL).unwrap())
}

fn mobile() -> Identifier {
    Identifier::Mobile(Mobile::parse(NUMBER).unwrap())
}

fn person() -> Person {
    Person {
        id: ID.to_owned(),
        status: None,
    }
}

fn batch() -> LookupBatch {
    let mut batch = LookupBatch::new(LookupScope {
        user_id_type: UserIdType::UserId,
        include_resigned: false,
    });
    batch.push(email()).unwrap();
    batch.push(mobile()).unwrap();
    batch
}

fn refused() -> DirectoryError {
    let culprits = vec![email(), mobile()];
    let kind = DirectoryErrorKind::ContentRefused { culprits };
    DirectoryError::new(kind, "refused")
}

fn looked() -> Looked {
    Looked {
        asked_at: SystemTime::UNIX_EPOCH,
        departed: tokio::time::Instant::now(),
        people: vec![person()],
        kind_was_given: true,
    }
}

fn ids() -> Ids {
    Ids {
        user_id: Some(ID.to_owned()),
        open_id: Some(ID.to_owned()),
        union_id: Some(ID.to_owned()),
    }
}

fn resolved() -> Resolution {
    Resolution::Resolved(Resolved {
        ids: ids(),
        ..Resolved::default()
    })
}

fn ambiguous() -> Resolution {
    Resolution::Ambiguous {
        candidates: vec![(UserIdType::OpenId, person())],
        asked_at: SystemTime::UNIX_EPOCH,
    }
}

fn tenant() -> TenantConfig {
    TenantConfig {
        proxy: Some(SECRET.into()),
        ca_pem: Some(SECRET.into()),
        ..TenantConfig::new("acme", "cli_a", SECRET.into(), "https://open.feishu.cn")
    }
}

fn sources() -> Sources {
    Sources {
        file: None,
        env: vec![("FEISHU_APP_SECRET".into(), SECRET.into())],
        flags: vec![flag()],
    }
}

fn flag() -> FlagSetting {
    FlagSetting {
        flag: "--listen",
        key: "grpc.listen",
        value: SECRET.to_owned(),
    }
}

fn identifier() -> pb::Identifier {
    pb::Identifier {
        kind: Some(pb::identifier::Kind::Email(EMAIL.to_owned())),
    }
}

fn user() -> pb::User {
    pb::User {
        user_id: ID.to_owned(),
        ..pb::User::default()
    }
}

fn resolution() -> pb::Resolution {
    pb::Resolution {
        identifier: Some(identifier()),
        user: Some(user()),
        candidates: vec![user()],
        ..pb::Resolution::default()
    }
}

fn request() -> pb::ResolveUserIdsRequest {
    pb::ResolveUserIdsRequest {
        identifiers: vec![identifier()],
        ..pb::ResolveUserIdsRequest::default()
    }
}

fn response() -> pb::ResolveUserIdsResponse {
    pb::ResolveUserIdsResponse {
        resolutions: vec![resolution()],
    }
}

fn list() -> pb::IdentifierList {
    pb::IdentifierList {
        identifiers: vec![identifier()],
    }
}

#[test]
fn nothing_that_holds_data_shows_it() {
    use pb::{flush_cache_request::Target, resolve_user_ids_stream_response::Result as Answer};
    let people = HashMap::from([(email(), vec![person()])]);
    let shown = shown![
        email(),
        mobile(),
        Email::parse(EMAIL).unwrap(),
        Mobile::parse(NUMBER).unwrap(),
        NormalForm::email(EMAIL).ok().unwrap(),
        Email::parse("zq7 mail@zq7dom.example").unwrap_err(),
        Mobile::parse("zq7+8619973518642").unwrap_err(),
        person(),
        batch(),
        LookupAnswer {
            asked_at: SystemTime::UNIX_EPOCH,
            people
        },
        refused(),
        looked(),
        Fact::Found(person()),
        Fact::Ambiguous(vec![person()]),
        ids(),
        resolved(),
        ambiguous(),
        Answered::from(resolved()),
        SecretString::from(SECRET),
        FetchedToken {
            value: SECRET.into(),
            expires_in: Duration::from_hours(2)
        },
        tenant(),
        Config {
            tenants: vec![tenant()],
            ..Config::default()
        },
        sources(),
        flag(),
        identifier(),
        identifier().kind.unwrap(),
        user(),
        resolution(),
        request(),
        response(),
        pb::ResolveUserIdsStreamRequest {
            request: Some(request()),
            ..pb::ResolveUserIdsStreamRequest::default()
        },
        pb::ResolveUserIdsStreamResponse {
            batch_id: 1,
            result: Some(Answer::Response(response())),
        },
        Answer::Response(response()),
        list(),
        Target::Identifiers(list()),
        pb::FlushCacheRequest {
            target: Some(Target::Identifiers(list())),
            ..pb::FlushCacheRequest::default()
        },
        tonic::Request::new(request()),
        tonic::Response::new(response()),
    ];
    for (what, debug, display) in shown {
        for text in [debug, display].into_iter().flatten() {
            let text = text.to_lowercase();
            assert!(
                !text.contains(MARK) && !text.contains("1997351"),
                "{what}: {text}"
            );
        }
    }
}

/// The macro above finds what there is to be found.
#[test]
fn what_does_show_its_data_is_seen() {
    let [(_, debug, display)] = shown![EMAIL.to_owned()];
    assert!(debug.unwrap().contains(MARK) && display.unwrap().contains(MARK));
    let [(_, debug, display)] = shown![identifier()];
    assert!(debug.is_some() && display.is_none());
    let [(_, debug, _)] = shown![NormalForm::email(EMAIL).ok().unwrap()];
    assert!(debug.is_none());
}

#[test]
fn a_sealed_record_shows_nothing_of_what_is_in_it() {
    let dir = std::env::temp_dir().join(format!("feishu-id-masked-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let vault = Vault::open(&dir.join("store.key")).unwrap();
    let secret = std::fs::read(dir.join("store.key")).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let directory = DirectoryName {
        tenant: "acme",
        base_url: "https://open.feishu.cn",
        app_id: "cli_a",
    };
    let key = vault.key(&directory, &[EMAIL.as_bytes()]);
    let record = vault
        .seal(&key, Class::Found, u64::MAX, ID.as_bytes())
        .unwrap();
    let bytes: Vec<String> = secret.iter().map(u8::to_string).collect();
    for (what, debug, display) in shown![vault, record, key, directory] {
        for text in [debug, display].into_iter().flatten() {
            assert!(
                !text.contains(MARK) && !text.contains(&bytes.join(", ")),
                "{what}: {text}"
            );
        }
    }
}

//! `cache flush`.

use clap::{Args, builder::NonEmptyStringValueParser};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    cli::{Ending, Failure, client, terminal},
    identity::{InvalidIdentifier, NormalForm},
    pb::identity::{
        FlushCacheRequest, Identifier, IdentifierList, admin_service_client::AdminServiceClient,
        flush_cache_request::Target, identifier::Kind,
    },
};

use super::{ServerArgs, bounded};

/// As many as a server takes at a time, unless it is set otherwise (`grpc.max_identifiers`).
const BATCH: usize = 1000;

const EXAMPLES: &str = "\
Examples:
  feishu-id cache flush wei.wang@acme.example '+86 138 0013 8000'   these people
  feishu-id cache flush --tenant acme --negative   who is not found in acme: after people were added
  feishu-id cache flush --tenant acme              everybody of acme
  feishu-id cache flush --really                   everybody of every tenant

Whoever was flushed is asked for at Feishu again, and has no answer while Feishu is out: flush as
little as will do. Flushing everybody spends the quota on everybody once more.

Exit codes: 0 flushed; 1 the server could not do it now: try again; 2 usage, or the server refuses;
3 the server could not be reached.";

/// Forget answers of a running server.
///
/// Of the people named; else of everybody of the tenant named; else, with --really, of everybody.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct FlushArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The tenant, as the server names it; for people named, without it, the default one.
    // An empty name is a variable of a script's that is not set, and would mean the default tenant.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    tenant: Option<String>,
    /// Only those who are not found, ambiguous or refused.
    #[arg(long)]
    negative: bool,
    /// Yes, everybody of every tenant.
    #[arg(long, conflicts_with_all = ["tenant", "identifiers"])]
    really: bool,
    /// E-mail addresses (anything with an @) and mobile numbers.
    #[arg(value_name = "IDENTIFIER")]
    identifiers: Vec<String>,
}

/// Whom the arguments mean.
enum Whom {
    People(Vec<Identifier>),
    All(Target),
}

/// What has been flushed so far.
#[derive(Default)]
struct Flushed {
    entries: i64,
    records: i64,
    people: usize,
}

/// Asks the server to flush, one target after the other.
struct Flushing {
    client: AdminServiceClient<client::Line>,
    tenant: String,
    negative_only: bool,
    flushed: Flushed,
}

pub(super) async fn run(args: FlushArgs) -> Result<Ending, Failure> {
    let whom = whom(&args)?;
    let mut flushing = Flushing {
        client: args.server.connect().await?,
        tenant: args.tenant.unwrap_or_default(),
        negative_only: args.negative,
        flushed: Flushed::default(),
    };
    match whom {
        Whom::People(people) => flushing.people(&people).await?,
        Whom::All(target) => {
            let flushed = flushing.flush(target).await;
            flushed.map_err(|status| client::failure_of(&status))?;
        }
    }
    terminal::print(&format!("flushed: {}\n", flushing.flushed.told()))?;
    Ok(Ending::Well)
}

impl Flushing {
    /// In parts as large as the server takes: how large that is, only its refusals tell.
    async fn people(&mut self, people: &[Identifier]) -> Result<(), Failure> {
        let mut left = people;
        let mut most = BATCH;
        while !left.is_empty() {
            let (part, rest) = left.split_at(most.min(left.len()));
            let identifiers = part.to_vec();
            match self
                .flush(Target::Identifiers(IdentifierList { identifiers }))
                .await
            {
                Ok(()) => {
                    self.flushed.people += part.len();
                    left = rest;
                }
                Err(status) if part.len() > 1 && is_of_too_many(&status) => most = part.len() / 2,
                Err(status) => {
                    let failure = client::failure_of(&status);
                    return Err(self.flushed.before(failure, people.len()));
                }
            }
        }
        Ok(())
    }

    async fn flush(&mut self, target: Target) -> Result<(), Status> {
        let request = FlushCacheRequest {
            tenant: self.tenant.clone(),
            target: Some(target),
            negative_only: self.negative_only,
        };
        let flushed = self
            .client
            .flush_cache(bounded(request))
            .await?
            .into_inner();
        let all = &mut self.flushed;
        all.entries = all.entries.saturating_add(flushed.flushed_entries);
        all.records = all.records.saturating_add(flushed.flushed_records);
        Ok(())
    }
}

impl Flushed {
    fn told(&self) -> String {
        // A server without a store has nothing to tell of one.
        let records = (self.records > 0).then(|| format!(", {} in the store", self.records));
        format!("{} in memory{}", self.entries, records.unwrap_or_default())
    }

    /// A failure, after so much was flushed all the same.
    fn before(&self, failure: Failure, all: usize) -> Failure {
        if self.people == 0 {
            return failure;
        }
        let people = self.people;
        let told = self.told();
        failure.adding(&format!(
            "the first {people} of {all} named were flushed before: {told}"
        ))
    }
}

/// Whether a smaller part may be taken. A request that is far too large is not even read.
fn is_of_too_many(status: &Status) -> bool {
    match status.code() {
        Code::OutOfRange => true,
        Code::InvalidArgument => status.get_details_bad_request().is_some_and(|bad| {
            bad.field_violations
                .iter()
                .any(|v| v.field == "identifiers.identifiers")
        }),
        _ => false,
    }
}

fn whom(args: &FlushArgs) -> Result<Whom, Failure> {
    if args.identifiers.is_empty() {
        return match (&args.tenant, args.really) {
            (Some(_), _) => Ok(Whom::All(Target::Everybody(true))),
            (None, true) => Ok(Whom::All(Target::AllTenants(true))),
            (None, false) => Err(Failure::Usage(without_a_name(args.negative))),
        };
    }
    let people = (1..).zip(&args.identifiers);
    let people = people.map(|(number, text)| identifier(number, text));
    Ok(Whom::People(people.collect::<Result<_, _>>()?))
}

fn without_a_name(negative: bool) -> String {
    let (whom, then) = if negative {
        (
            "everybody of every tenant who is not found, ambiguous or refused",
            "each of them is asked for at Feishu again",
        )
    } else {
        (
            "everybody of every tenant",
            "each of them is asked for at Feishu again, and has no answer while Feishu is out",
        )
    };
    format!(
        "this would forget {whom}: {then}\nif that is meant, add --really; else name people, or a \
         tenant by --tenant"
    )
}

/// Before anything is flushed, says which argument is none.
fn identifier(number: usize, text: &str) -> Result<Identifier, Failure> {
    let identifier = client::identifier(text);
    let is_valid = match &identifier.kind {
        Some(Kind::Email(text)) => NormalForm::email(text),
        Some(Kind::Mobile(text)) => NormalForm::mobile(text),
        None => Err(InvalidIdentifier::Empty),
    };
    is_valid
        .map_err(|invalid| Failure::Usage(format!("IDENTIFIER {number}: {invalid}")))
        .map(|_| ())?;
    Ok(identifier)
}

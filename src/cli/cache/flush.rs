//! `cache flush`.

use clap::Args;

use crate::{
    cli::{Ending, Failure, client, terminal},
    identity::{InvalidIdentifier, NormalForm},
    pb::identity::{
        FlushCacheRequest, Identifier, IdentifierList, flush_cache_request::Target,
        identifier::Kind,
    },
};

use super::{ServerArgs, bounded};

/// As many as a server takes at a time, unless it is set otherwise.
const BATCH: usize = 1000;

const EXAMPLES: &str = "\
Examples:
  feishu-id cache flush wei.wang@acme.example '+86 138 0013 8000'   these people
  feishu-id cache flush --tenant acme --negative   who is not found in acme: after people were added
  feishu-id cache flush --tenant acme              everybody of acme
  feishu-id cache flush --really                   everybody of every tenant

Whoever was flushed is asked for at Feishu again, and has no answer while Feishu is out: flush as
little as will do. Flushing everybody spends the quota on everybody once more.

Exit codes: 0 flushed; 2 usage, or the server refuses; 3 the server could not be reached.";

/// Forget answers of a running server.
///
/// Of the people named; else of everybody of the tenant named; else, with --really, of everybody.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct FlushArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The tenant, as the server names it; for people named, without it, the default one.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Only those who are not found, ambiguous or refused.
    #[arg(long)]
    negative: bool,
    /// Yes, everybody of every tenant.
    #[arg(long)]
    really: bool,
    /// E-mail addresses (anything with an @) and mobile numbers.
    #[arg(value_name = "IDENTIFIER")]
    identifiers: Vec<String>,
}

pub(super) async fn run(args: FlushArgs) -> Result<Ending, Failure> {
    let targets = targets(&args)?;
    let mut client = args.server.connect().await?;
    let (mut entries, mut records) = (0_i64, 0_i64);
    for target in targets {
        let request = FlushCacheRequest {
            tenant: args.tenant.clone().unwrap_or_default(),
            target: Some(target),
            negative_only: args.negative,
        };
        let flushed = client.flush_cache(bounded(request)).await;
        let flushed = flushed.map_err(|status| client::failure_of(&status))?;
        let flushed = flushed.into_inner();
        entries = entries.saturating_add(flushed.flushed_entries);
        records = records.saturating_add(flushed.flushed_records);
    }
    // A server without a store has nothing to tell of one.
    let records = (records > 0).then(|| format!(", {records} in the store"));
    let told = format!(
        "flushed: {entries} in memory{}\n",
        records.unwrap_or_default()
    );
    terminal::print(&told)?;
    Ok(Ending::Well)
}

/// Whom the arguments mean: one request for each.
fn targets(args: &FlushArgs) -> Result<Vec<Target>, Failure> {
    if args.identifiers.is_empty() {
        return match (&args.tenant, args.really) {
            (Some(_), _) => Ok(vec![Target::Everybody(true)]),
            (None, true) => Ok(vec![Target::AllTenants(true)]),
            (None, false) => Err(Failure::Usage(without_a_name(args.negative))),
        };
    }
    let people: Vec<_> = (1..)
        .zip(&args.identifiers)
        .map(|(number, text)| identifier(number, text))
        .collect::<Result<_, _>>()?;
    let lists = people.chunks(BATCH).map(|people| IdentifierList {
        identifiers: people.to_vec(),
    });
    Ok(lists.map(Target::Identifiers).collect())
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

//! What the sandbox says about itself: whom to ask for with the outcome to expect, found in
//! whatever directory it has, and the text that the command prints.

use std::fmt::Write as _;

use super::directory::{LOAD_MOBILE, LOAD_PEOPLE};
use super::person::{Person, Status};
use super::world::{Tenant, World};
use super::{Example, Sandbox};

/// For every outcome the first who shows it; outcomes that the directory cannot show are missing.
pub(super) fn examples(world: &World) -> Vec<Example> {
    let mut examples = Vec::new();
    for kind in KINDS {
        let found = world.tenants.iter().find_map(|tenant| {
            let people = tenant.directory.people().iter();
            let mut shown = people.filter_map(|person| (kind.shows)(world, tenant, person));
            shown.next().map(|identifier| (tenant, identifier))
        });
        if let Some((tenant, identifier)) = found {
            examples.push(Example {
                tenant: tenant.app.name.clone(),
                identifier,
                what: kind.what.to_owned(),
            });
        }
    }
    if let Some(tenant) = world.tenants.first() {
        examples.push(Example {
            tenant: tenant.app.name.clone(),
            identifier: format!("nobody@{}.example", tenant.app.name),
            what: "not found: there is no such person".to_owned(),
        });
    }
    examples
}

/// A kind of example: what to expect, and the identifier by which a person shows it.
struct Kind {
    what: &'static str,
    shows: fn(&World, &Tenant, &Person) -> Option<String>,
}

const KINDS: [Kind; 13] = [
    Kind {
        what: "resolved, by e-mail in whatever letter case",
        shows: |_, tenant, person| ordinary(tenant, person)?.email.clone(),
    },
    Kind {
        what: "resolved, by a mainland number with or without +86",
        shows: |_, tenant, person| {
            let mobile = ordinary(tenant, person)?.mobile.clone()?;
            mobile.starts_with("+86").then_some(mobile)
        },
    },
    Kind {
        what: "resolved, by a foreign number with its country code",
        shows: |_, tenant, person| {
            let mobile = ordinary(tenant, person)?.mobile.clone()?;
            (!mobile.starts_with("+86")).then_some(mobile)
        },
    },
    Kind {
        what: "resolved in several tenants, with another user_id in each",
        shows: |world, _, person| {
            let email = person.email.clone().filter(|_| is_here(person))?;
            let in_tenants = world.tenants.iter().filter(|tenant| {
                let found = tenant.directory.by_email(&email);
                found.iter().any(|person| is_here(person))
            });
            (in_tenants.count() > 1).then_some(email)
        },
    },
    Kind {
        what: "resolved; the status says frozen where the app may see it",
        shows: |_, _, person| with_status(person, Status::Frozen),
    },
    Kind {
        what: "resolved; the status says that the invitation is not accepted yet",
        shows: |_, _, person| with_status(person, Status::Unjoined),
    },
    Kind {
        what: "not found: has resigned; resolved with include_resigned",
        shows: |_, tenant, person| {
            let email = with_status(person, Status::Resigned)?;
            (tenant.directory.by_email(&email).len() == 1).then_some(email)
        },
    },
    Kind {
        what: "resolved: a recycled address; with include_resigned the one who is here is preferred",
        shows: |_, tenant, person| {
            let (here, gone) = sharers(tenant, person)?;
            (here == 1 && gone > 0).then(|| person.email.clone())?
        },
    },
    Kind {
        what: "ambiguous: two people have this address",
        shows: |_, tenant, person| {
            let (here, _) = sharers(tenant, person)?;
            (here > 1).then(|| person.email.clone())?
        },
    },
    Kind {
        what: "not found: outside the app's contact range",
        shows: |_, _, person| {
            (!person.visible).then(|| person.email.clone().or(person.mobile.clone()))?
        },
    },
    Kind {
        what: "not found: an enterprise mailbox is no contact e-mail",
        shows: |_, _, person| {
            let mailbox = person.enterprise_email.clone().filter(|_| person.visible);
            mailbox.filter(|_| person.email.is_none() && person.mobile.is_some())
        },
    },
    Kind {
        what: "resolved, by the number of the one who has only an enterprise mailbox",
        shows: |_, _, person| {
            let mobile = person.mobile.clone().filter(|_| is_here(person));
            mobile.filter(|_| person.email.is_none() && person.enterprise_email.is_some())
        },
    },
    Kind {
        what: "resolved; has no mobile number",
        shows: |_, _, person| {
            let email = person.email.clone().filter(|_| is_here(person));
            email.filter(|_| person.mobile.is_none())
        },
    },
];

fn is_here(person: &Person) -> bool {
    person.visible && person.status != Status::Resigned
}

/// Somebody with nothing special about them.
fn ordinary<'a>(tenant: &Tenant, person: &'a Person) -> Option<&'a Person> {
    let alone = sharers(tenant, person)? == (1, 0);
    (person.visible && person.status == Status::Active && alone).then_some(person)
}

/// How many who are here, and who are gone, have the person's e-mail.
fn sharers(tenant: &Tenant, person: &Person) -> Option<(usize, usize)> {
    let found = tenant.directory.by_email(person.email.as_ref()?);
    let here = found.iter().filter(|person| is_here(person)).count();
    let gone = found
        .iter()
        .filter(|p| p.status == Status::Resigned)
        .count();
    Some((here, gone))
}

fn with_status(person: &Person, status: Status) -> Option<String> {
    let fits = person.visible && person.status == status;
    fits.then(|| person.email.clone().or(person.mobile.clone()))?
}

/// Everything that the command prints.
pub(super) fn text(sandbox: &Sandbox) -> String {
    let mut text = String::from(
        "==========================================================================\n\
         THIS IS A SIMULATION of Feishu. Its people are made up, its IDs worthless.\n\
         ==========================================================================\n",
    );
    // Writing to a String cannot fail.
    let _ = settings(&mut text, sandbox);
    let _ = people(&mut text, sandbox);
    let _ = control(&mut text, &sandbox.control_url());
    text
}

fn settings(text: &mut String, sandbox: &Sandbox) -> std::fmt::Result {
    for tenant in sandbox.tenants() {
        writeln!(text, "\n# tenant {}", tenant.name)?;
        writeln!(text, "FEISHU_BASE_URL={}", sandbox.base_url())?;
        writeln!(text, "FEISHU_APP_ID={}", tenant.app_id)?;
        writeln!(text, "FEISHU_APP_SECRET={}", tenant.app_secret)?;
    }
    Ok(())
}

fn people(text: &mut String, sandbox: &Sandbox) -> std::fmt::Result {
    let count = sandbox.world.people();
    writeln!(
        text,
        "\n# {count} people. Some to ask for, and what to expect"
    )?;
    for example in sandbox.examples() {
        let Example {
            tenant,
            identifier,
            what,
        } = example;
        writeln!(text, "#   {tenant:<8} {identifier:<30} {what}")?;
    }
    writeln!(
        text,
        "#   for loads: load-<n>@<tenant>.example, and {LOAD_MOBILE}<n in 8 digits>, are one \
         person for every n below {LOAD_PEOPLE}"
    )
}

fn control(text: &mut String, url: &str) -> std::fmt::Result {
    writeln!(
        text,
        "\n# Trouble is made, and what was asked is seen, at {url}"
    )?;
    for (what, command) in [
        (
            "all switches and their meaning",
            format!("curl {url}/faults"),
        ),
        (
            "half of the calls fail",
            format!("curl {url}/faults -d '{{\"fault\": \"status\", \"fault_percent\": 50}}'"),
        ),
        (
            "no token is good any more",
            format!("curl -X POST {url}/tokens/revoke"),
        ),
        (
            "what was asked",
            format!("curl {url}/history; curl {url}/stats"),
        ),
        (
            "as it was at the start",
            format!("curl -X POST {url}/reset"),
        ),
    ] {
        writeln!(text, "#   {command}   # {what}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::seed;

    #[test]
    fn the_seeded_people_show_every_kind_of_outcome() {
        let examples = examples(&World::new(seed::tenants()));
        assert_eq!(examples.len(), KINDS.len() + 1);
    }
}

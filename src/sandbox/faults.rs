//! The switches: everything about the simulated Feishu that can be set while it runs. Each field
//! is documented in [`table`], which `GET /faults` prints; a test keeps the two in step.

mod any;
mod draw;
mod set;
mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(super) use self::draw::{Coded, Dice, Drawn, Injected};
use super::quota::Form;

/// What the switches stand at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own, and one flat JSON object is what people type"
)]
pub(super) struct Faults {
    pub(super) latency_ms: u64,
    pub(super) latency_jitter_ms: u64,
    pub(super) token_latency_ms: Option<u64>,
    pub(super) token_latency_jitter_ms: Option<u64>,

    pub(super) fault: Kind,
    pub(super) fault_endpoint: Selector,
    pub(super) fault_next: Option<u64>,
    pub(super) fault_percent: f64,
    pub(super) fault_seed: u64,
    pub(super) fault_code: i64,
    pub(super) fault_msg: String,
    pub(super) fault_status: Option<u16>,
    pub(super) fault_body: BodyForm,
    pub(super) fault_hang_seconds: u64,
    pub(super) fault_oversized_bytes: u64,
    pub(super) only_tenant: Option<String>,

    pub(super) token_life_seconds: u64,
    pub(super) token_renew_below_seconds: u64,
    pub(super) token_rejected_status: u16,
    pub(super) token_after_revocation: AfterRevocation,
    pub(super) wrong_secret_code: i64,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) secret_change_kills_tokens: bool,
    pub(super) clock_offset_seconds: i64,

    pub(super) scopes_removed: Vec<String>,
    pub(super) scopes_granted: Vec<String>,
    pub(super) user_id_without_scope: WithoutScope,
    pub(super) app_disabled: bool,
    pub(super) ip_denied: bool,
    pub(super) gateway_status: u16,

    pub(super) quota_enabled: bool,
    pub(super) quota_per_second: u32,
    pub(super) quota_per_minute: u32,
    pub(super) quota_form: Form,
    pub(super) quota_status: u16,
    pub(super) quota_before_scope: bool,
    pub(super) quota_month_spent: bool,

    pub(super) poison: Vec<String>,
    pub(super) poison_answer: PoisonAnswer,
    pub(super) poison_field_violations: bool,

    pub(super) email_echo: EmailEcho,
    pub(super) mobile_echo: MobileEcho,
    pub(super) email_case_sensitive: bool,
    pub(super) mobile_punctuation_matches: bool,
    pub(super) enterprise_email_matches: bool,
    pub(super) row_order: RowOrder,
    pub(super) misses: Misses,
    pub(super) duplicate_rows: bool,
    pub(super) duplicates: Repeats,
    pub(super) malformed: Malformed,
    pub(super) empty_request: EmptyRequest,
}

/// Declares an enum whose names in JSON are its variants' in snake case.
macro_rules! choices {
    ($($(#[$meta:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident),+ $(,)? })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub(super) enum $name { $($(#[$inner])* $variant),+ }
    )+};
}

choices! {
    /// What is done to a call that a fault hits.
    Kind { #[default] None, Code, Status, TruncatedJson, OversizedBody, NotJson, Drop, DropMidBody, Hang, Any }
    /// Which calls a fault may hit.
    Selector { #[default] Any, Token, BatchGetId }
    /// What a fault of kind `status` has for a body.
    BodyForm { #[default] Html, Text, Empty }
    /// What the token endpoint gives after a revocation.
    AfterRevocation { #[default] New, Same }
    /// What becomes of `user_id` without its field scope.
    WithoutScope { #[default] Omit, Refuse }
    /// How an e-mail comes back.
    EmailEcho { #[default] AsSent, AsStored }
    /// How a number that matched comes back.
    MobileEcho { #[default] AsSent, #[serde(rename = "with_86")] With86, #[serde(rename = "without_86")] Without86 }
    /// How rows are ordered.
    RowOrder { #[default] Input, Shuffled }
    /// What becomes of those whom nobody matched.
    Misses { #[default] Echo, Dropped }
    /// What becomes of an identifier that is asked for twice.
    Repeats { #[default] RowEach, Once, Refuse }
    /// What becomes of what is no e-mail or number.
    Malformed { #[default] Miss, Drop, Refuse }
    /// What a request for nobody gets.
    EmptyRequest { #[default] Empty, Refuse }
    /// How a call with a poisonous identifier fails.
    PoisonAnswer {
        #[default]
        #[serde(rename = "99992402")] FieldValidation,
        #[serde(rename = "40001")] InvalidParam,
        #[serde(rename = "9499")] BadRequest,
        #[serde(rename = "500")] InternalError,
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            latency_jitter_ms: 0,
            token_latency_ms: None,
            token_latency_jitter_ms: None,
            fault: Kind::None,
            fault_endpoint: Selector::Any,
            fault_next: None,
            fault_percent: 100.0,
            fault_seed: 1,
            fault_code: 2200,
            fault_msg: "Internal Error".to_owned(),
            fault_status: None,
            fault_body: BodyForm::Html,
            fault_hang_seconds: 60,
            fault_oversized_bytes: 8 << 20,
            only_tenant: None,
            token_life_seconds: 7200,
            token_renew_below_seconds: 1800,
            token_rejected_status: 400,
            token_after_revocation: AfterRevocation::New,
            wrong_secret_code: 10014,
            secrets: BTreeMap::new(),
            secret_change_kills_tokens: false,
            clock_offset_seconds: 0,
            scopes_removed: Vec::new(),
            scopes_granted: Vec::new(),
            user_id_without_scope: WithoutScope::Omit,
            app_disabled: false,
            ip_denied: false,
            gateway_status: 400,
            quota_enabled: true,
            quota_per_second: 50,
            quota_per_minute: 1000,
            quota_form: Form::Fixed,
            quota_status: 429,
            quota_before_scope: false,
            quota_month_spent: false,
            poison: Vec::new(),
            poison_answer: PoisonAnswer::FieldValidation,
            poison_field_violations: true,
            email_echo: EmailEcho::AsSent,
            mobile_echo: MobileEcho::AsSent,
            email_case_sensitive: false,
            mobile_punctuation_matches: false,
            enterprise_email_matches: false,
            row_order: RowOrder::Input,
            misses: Misses::Echo,
            duplicate_rows: false,
            duplicates: Repeats::RowEach,
            malformed: Malformed::Miss,
            empty_request: EmptyRequest::Empty,
        }
    }
}

impl Faults {
    /// Whether the troubles that can be kept to one tenant concern this one. A caller of whom
    /// nobody knows whose they are is concerned only when all are.
    pub(super) fn concern(&self, tenant: Option<&str>) -> bool {
        self.only_tenant.is_none() || self.only_tenant.as_deref() == tenant
    }

    /// The tenant's scopes with what the switches take and give.
    pub(super) fn scopes<'a>(&'a self, tenant: &str, own: &[&'a str]) -> Vec<&'a str> {
        let named = |list: &'a [String]| -> Vec<&'a str> {
            let concerns = |entry: &'a String| match entry.split_once('/') {
                Some((only, scope)) => (only == tenant).then_some(scope),
                None => Some(entry.as_str()),
            };
            list.iter().filter_map(concerns).collect()
        };
        let removed = named(&self.scopes_removed);
        let mut scopes: Vec<&str> = own.to_vec();
        scopes.extend(named(&self.scopes_granted));
        scopes.retain(|scope| !removed.contains(scope));
        scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_taken_and_given_for_all_tenants_or_one() {
        let faults = Faults {
            scopes_removed: vec!["a".to_owned(), "globex/b".to_owned()],
            scopes_granted: vec!["acme/c".to_owned()],
            ..Faults::default()
        };
        assert_eq!(faults.scopes("acme", &["a", "b"]), ["b", "c"]);
        assert!(faults.scopes("globex", &["a", "b"]).is_empty());
    }

    #[test]
    fn a_trouble_kept_to_one_tenant_leaves_the_others_alone() {
        let faults = Faults {
            only_tenant: Some("acme".to_owned()),
            ..Faults::default()
        };
        assert!(faults.concern(Some("acme")));
        assert!(!faults.concern(Some("globex")));
        assert!(!faults.concern(None));
        assert!(Faults::default().concern(None));
    }
}

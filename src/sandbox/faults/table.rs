//! The switches' documentation: name, what it may be set to, what it does. `[U]` marks what is not
//! known of the real Feishu; the default is then the likelier.

/// One switch.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) takes: &'static str,
    pub(super) meaning: &'static str,
}

macro_rules! entries {
    ($($name:literal: $takes:literal, $meaning:literal;)+) => {
        &[$(Entry { name: $name, takes: $takes, meaning: $meaning }),+]
    };
}

/// Every switch, in the order in which they are listed.
pub(super) const TABLE: &[Entry] = entries![
    "latency_ms": "0 to 60000", "how long an answer takes, in milliseconds";
    "latency_jitter_ms": "0 to 60000", "added to it at random, at most (drawn from fault_seed)";
    "token_latency_ms": "0 to 60000 or null", "the same for the token endpoints; null: as latency_ms";
    "token_latency_jitter_ms": "0 to 60000 or null", "the same for the token endpoints; null: as latency_jitter_ms";
    "fault": "none, code, status, truncated_json, oversized_body, not_json, drop, drop_mid_body, hang or any",
        "what is done to the calls that a fault hits. code: fault_code in a JSON body; status: fault_status with fault_body; truncated_json: half of the real answer; not_json: HTTP 200 with a web page; drop: the connection closes before the answer; drop_mid_body: in the middle of it; hang: nothing for fault_hang_seconds, then it closes; any: one of these kinds, each as likely, drawn for every call (the history tells which): a code is then 2200, 1500, 5000 or the unknown 1234567, of lookups also 99991663 or 99991400, and a status 502, 503 or 504 with a page. Such calls count in the quota. In /stats a 99991400 of these is in by_fault; rate_limited is what the quota itself refused";
    "fault_endpoint": "any, token or batch_get_id", "which calls the fault may hit";
    "fault_next": "a number or null", "how many more calls the fault hits, counted down as it does; null: no end";
    "fault_percent": "0 to 100", "how many in a hundred of the calls it might hit it does";
    "fault_seed": "a number", "where the dice start; every POST puts them back there";
    "fault_code": "a number", "the code of kind code";
    "fault_msg": "a text", "the msg of kind code";
    "fault_status": "200 to 599 or null", "the HTTP status of the kinds code and status; null: 200 for a code of the token endpoints, 400 for another, 502 for kind status";
    "fault_body": "html, text or empty", "the body of kind status";
    "fault_hang_seconds": "0 to 60", "how long kind hang holds a connection";
    "fault_oversized_bytes": "1 to 67108864", "how large the body of kind oversized_body is";
    "only_tenant": "a tenant's name or null", "keeps latency, fault, app_disabled, ip_denied, quota_month_spent and poison to one tenant";
    "token_life_seconds": "1 to 604800", "how long a new token lives";
    "token_renew_below_seconds": "0 to 604800", "with at least this much left the token endpoint gives the same token again; a token_life_seconds below it means a new one each time";
    "token_rejected_status": "200, 400 or 401", "the HTTP status of 99991663, with which a bad token is refused";
    "token_after_revocation": "new or same", "what the token endpoint gives after a revocation [U]";
    "wrong_secret_code": "10014 or 10015", "the code for a wrong secret: seen in the wild, or the documents' [U]";
    "secrets": "an object of tenant names and texts", "secrets in force instead of those at the start";
    "secret_change_kills_tokens": "true or false", "whether a change of secrets revokes the tokens of those tenants [U]";
    "clock_offset_seconds": "-604800 to 604800", "how far the sandbox's clock is ahead: tokens end by it, and Date headers show it";
    "scopes_removed": "a list of scopes", "scopes the apps lose, such as contact:user.id:readonly; tenant/scope is for one tenant only";
    "scopes_granted": "a list of scopes", "scopes the apps get, such as globex/contact:user.employee:readonly";
    "user_id_without_scope": "omit or refuse", "asked for user_id without contact:user.employee_id:readonly: rows without it, or 41050 [U]";
    "app_disabled": "true or false", "calls get 99991662";
    "ip_denied": "true or false", "calls get 99991401";
    "gateway_status": "200 to 599", "the HTTP status of 99991662, 99991401 and 99991403 [U]";
    "quota_enabled": "true or false", "whether calls are limited at all";
    "quota_per_second": "0 to 1000000", "calls a second, for each tenant";
    "quota_per_minute": "0 to 1000000", "calls a minute, for each tenant";
    "quota_form": "fixed or sliding", "windows that begin with the clock's second and minute, or any such stretch [U]";
    "quota_status": "429 or 400", "the HTTP status of 99991400";
    "quota_before_scope": "true or false", "whether a call without scope counts in the quota [U]";
    "quota_month_spent": "true or false", "calls get 99991403";
    "poison": "a list of identifiers", "a call that contains one, in just this spelling, fails as a whole";
    "poison_answer": "\"99992402\", \"40001\", \"9499\" or \"500\"", "how it fails";
    "poison_field_violations": "true or false", "whether the refusal names the place of the identifier";
    "email_echo": "as_sent or as_stored", "the form in which an e-mail that matched comes back [U]";
    "mobile_echo": "as_sent, with_86 or without_86", "the form in which a number that matched comes back [U]";
    "email_case_sensitive": "true or false", "whether letter case matters in e-mails [U]";
    "mobile_punctuation_matches": "true or false", "whether 0086, spaces and dashes are understood in numbers [U]";
    "enterprise_email_matches": "true or false", "whether an enterprise mailbox is found, too";
    "row_order": "input or shuffled", "the order of the rows [U]; shuffled is drawn from fault_seed";
    "misses": "echo or dropped", "somebody unknown: a row with just the identifier, or none";
    "duplicate_rows": "true or false", "each row comes twice";
    "duplicates": "row_each, once or refuse", "an identifier asked for twice: so many rows, one, or 40001 [U]";
    "malformed": "miss, drop or refuse", "what is no e-mail or number: a row without ID, no row, or 40001 [U]";
    "empty_request": "empty or refuse", "neither e-mails nor mobiles: no rows, or 40001 [U]";
];

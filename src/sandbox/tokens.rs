//! The tokens that the simulated Feishu has given out, and which of them are good. Time is an
//! argument. Knows tenants by number only; `auth` issues, `gateway` checks.

use std::collections::HashMap;

use super::person::{head, hex};

/// How long tokens live and when a new one is given.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    pub(super) life_seconds: u64,
    /// With at least this much left, the same token is given again.
    pub(super) renew_below_seconds: u64,
    /// Whether a revoked token, too, is given again.
    pub(super) same_after_revocation: bool,
}

/// Everything issued and not yet ended.
#[derive(Default)]
pub(super) struct Tokens {
    /// Makes the tokens of each run differ, as those of a restarted Feishu would.
    salt: String,
    issued: HashMap<String, Issued>,
    current: HashMap<usize, String>,
    count: u64,
}

struct Issued {
    tenant: usize,
    ends_ms: u64,
    revoked: bool,
}

impl Tokens {
    pub(super) fn new(salt: String) -> Self {
        Self {
            salt,
            ..Self::default()
        }
    }

    /// A token for the tenant and the whole seconds it has left.
    pub(super) fn issue(&mut self, tenant: usize, now_ms: u64, rules: Rules) -> (String, u64) {
        self.issued.retain(|_, token| token.ends_ms > now_ms);
        if let Some(text) = self.current.get(&tenant)
            && let Some(token) = self.issued.get(text)
            && (!token.revoked || rules.same_after_revocation)
        {
            let left = (token.ends_ms - now_ms) / 1000;
            if left >= rules.renew_below_seconds {
                return (text.clone(), left);
            }
        }
        self.count += 1;
        let made = hex(&[
            "token",
            &self.salt,
            &tenant.to_string(),
            &self.count.to_string(),
        ]);
        let text = format!("t-g104{}", head(&made, 38));
        let token = Issued {
            tenant,
            ends_ms: now_ms + rules.life_seconds * 1000,
            revoked: false,
        };
        self.issued.insert(text.clone(), token);
        self.current.insert(tenant, text.clone());
        (text, rules.life_seconds)
    }

    /// Whose token it is, if it is good.
    pub(super) fn check(&self, text: &str, now_ms: u64) -> Option<usize> {
        let token = self.issued.get(text)?;
        (!token.revoked && token.ends_ms > now_ms).then_some(token.tenant)
    }

    /// Revokes all tokens, or one tenant's; says how many were good.
    pub(super) fn revoke(&mut self, tenant: Option<usize>) -> usize {
        let mut count = 0;
        for token in self.issued.values_mut() {
            if tenant.is_none_or(|tenant| tenant == token.tenant) && !token.revoked {
                token.revoked = true;
                count += 1;
            }
        }
        count
    }

    pub(super) fn clear(&mut self) {
        self.issued.clear();
        self.current.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        life_seconds: 7200,
        renew_below_seconds: 1800,
        same_after_revocation: false,
    };

    #[test]
    fn the_same_token_is_given_while_half_an_hour_remains() {
        let mut tokens = Tokens::default();
        let (first, life) = tokens.issue(0, 0, RULES);
        assert_eq!(life, 7200);
        let (second, left) = tokens.issue(0, 5_400_000, RULES);
        assert_eq!((&second, left), (&first, 1800));
        let (third, life) = tokens.issue(0, 5_401_000, RULES);
        assert_ne!(third, first);
        assert_eq!(life, 7200);
    }

    #[test]
    fn old_and_new_are_both_good_until_their_own_ends() {
        let mut tokens = Tokens::default();
        let (old, _) = tokens.issue(3, 0, RULES);
        let (new, _) = tokens.issue(3, 6_000_000, RULES);
        assert_eq!(tokens.check(&old, 7_199_999), Some(3));
        assert_eq!(tokens.check(&old, 7_200_000), None);
        assert_eq!(tokens.check(&new, 13_199_999), Some(3));
    }

    #[test]
    fn a_revoked_token_is_replaced_unless_the_rules_give_it_again() {
        let mut tokens = Tokens::default();
        let (first, _) = tokens.issue(0, 0, RULES);
        let (other, _) = tokens.issue(1, 0, RULES);
        assert_eq!(tokens.revoke(Some(0)), 1);
        assert_eq!(tokens.check(&first, 1), None);
        assert_eq!(tokens.check(&other, 1), Some(1));
        let stubborn = Rules {
            same_after_revocation: true,
            ..RULES
        };
        assert_eq!(tokens.issue(0, 1, stubborn).0, first);
        let (second, _) = tokens.issue(0, 1, RULES);
        assert_eq!(tokens.check(&second, 1), Some(0));
    }
}

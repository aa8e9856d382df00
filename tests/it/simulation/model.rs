//! One tenant's Feishu as the queue sees it: a call takes a token of the real token cache, travels,
//! arrives, is answered or not, and travels back.

use std::time::Duration;

use feishu_id::{
    directory::{Directory, DirectoryError, DirectoryErrorKind as Kind, LookupAnswer, LookupBatch},
    feishu::token::{FetchedToken, TokenSource, Tokens},
};
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    ledger::{FailedCall, Question, Record},
    scenario::Fault,
    world::{IssuedToken, Shared, World},
};

/// When a call, or a token request, is given up.
pub(super) const BOUND: Duration = Duration::from_secs(3);
/// The life of a token, and how much it has left when another one is given.
const TOKEN_LIFE: Duration = Duration::from_hours(2);
const RENEWABLE: Duration = Duration::from_mins(30);

pub(super) struct Model {
    pub(super) world: Shared,
    pub(super) tenant: usize,
    pub(super) tokens: Tokens,
}

/// The token endpoint.
pub(super) struct Source {
    pub(super) world: Shared,
    pub(super) tenant: usize,
}

/// What a call is in for.
struct Fate {
    fault: Option<Fault>,
    there: Duration,
    back: Duration,
}

impl Directory for Model {
    fn lookup<'a>(
        &'a self,
        batch: &'a LookupBatch,
    ) -> BoxFuture<'a, Result<LookupAnswer, DirectoryError>> {
        async {
            let departed = Instant::now();
            let fate = self.world.lock().departs(self.tenant, batch);
            let result = self.travel(batch, departed, &fate).await;
            if fate.fault == Some(Fault::Crash) {
                self.world
                    .lock()
                    .ended(self.tenant, batch, Some(&Kind::InvalidResponse));
                // Unlike `panic!` it prints nothing.
                std::panic::resume_unwind(Box::new("on purpose"));
            }
            let failed = result.as_ref().err().map(|error| &error.kind);
            self.world.lock().ended(self.tenant, batch, failed);
            result
        }
        .boxed()
    }

    fn scope_page(&self, scope: &str) -> Option<String> {
        Some(format!("https://x.example/{scope}"))
    }
}

impl Model {
    async fn travel(
        &self,
        batch: &LookupBatch,
        departed: Instant,
        fate: &Fate,
    ) -> Result<LookupAnswer, DirectoryError> {
        if fate.fault == Some(Fault::BadCredentials) {
            return Err(error(Kind::BadCredentials));
        }
        let token = self.tokens.get().await?;
        let sent = Instant::now();
        let asked_at = self.world.lock().wall(sent);
        sleep(fate.there).await;
        let (arrived, given) =
            self.world
                .lock()
                .arrives(self.tenant, batch, token.expose(), fate.fault);
        if fate.fault == Some(Fault::TimedOut) {
            sleep_until(sent + BOUND).await;
            return Err(error(Kind::TimedOut));
        }
        sleep(fate.back).await;
        match &arrived {
            Err(Kind::TokenRejected) => self.tokens.rejected(&token, &error(Kind::TokenRejected)),
            Ok(_)
            | Err(
                Kind::ScopeMissing { .. }
                | Kind::ContentRefused { .. }
                | Kind::IdKindRefused
                | Kind::MonthlyQuotaSpent,
            ) => {
                self.tokens.accepted(&token);
            }
            Err(_) => {}
        }
        if fate.fault != Some(Fault::Crash) {
            let mut world = self.world.lock();
            for (question, given) in given {
                let record = Record {
                    departed,
                    wall: asked_at,
                    given,
                };
                world.ledger.add(question, record);
            }
        }
        let people = arrived.map_err(error)?;
        Ok(LookupAnswer { asked_at, people })
    }
}

impl TokenSource for Source {
    fn fetch(&self) -> BoxFuture<'_, Result<FetchedToken, DirectoryError>> {
        async {
            let (fate, asked) = {
                let mut world = self.world.lock();
                let fate = world.draw_fate(self.tenant, false);
                (fate, Instant::now())
            };
            sleep(fate.there).await;
            let given = self.world.lock().token(self.tenant);
            sleep(fate.back).await;
            match fate.fault {
                Some(Fault::TokenUnavailable | Fault::Unavailable) => {
                    self.world.lock().tally.fault(Fault::TokenUnavailable);
                    Err(error(Kind::Unavailable))
                }
                Some(Fault::BadCredentials) => Err(error(Kind::BadCredentials)),
                Some(Fault::TimedOut) => {
                    sleep_until(asked + BOUND).await;
                    Err(error(Kind::TimedOut))
                }
                _ => Ok(given),
            }
        }
        .boxed()
    }
}

impl World {
    fn draw_fate(&mut self, tenant: usize, is_lookup: bool) -> Fate {
        // Of the faults meant for the next calls, those of lookups wait for lookups, and others for
        // others.
        let next = self.tenants[tenant].next.front();
        let is_meant = next.is_some_and(|f| is_lookup == (*f != Fault::TokenUnavailable));
        let fault = if is_meant {
            self.tenants[tenant].next.pop_front()
        } else {
            let next = std::mem::take(&mut self.tenants[tenant].next);
            let fault = self.draw_fault(tenant);
            self.tenants[tenant].next = next;
            fault
        };
        let most = match fault {
            Some(Fault::Slow) => 1_490,
            _ => self.setting.delay_ms,
        };
        let mut way = || Duration::from_millis(self.rng.u64(0..=most));
        let (there, back) = (way(), way());
        Fate { fault, there, back }
    }

    fn departs(&mut self, tenant: usize, batch: &LookupBatch) -> Fate {
        let at = self.ms(Instant::now());
        let fate = self.draw_fate(tenant, true);
        let questions = Self::questions(tenant, batch);
        self.trace.add((at, &questions, fate.fault), || {
            let who: Vec<_> = questions.iter().map(|q| q.who).collect();
            format!(
                "{at:>9} call of {tenant} {:?} {who:?} {:?}",
                batch.scope(),
                fate.fault
            )
        });
        self.tally.calls += 1;
        self.tally.keys += u64::try_from(questions.len()).unwrap();
        if let Some(fault) = fate.fault.filter(|fault| *fault != Fault::TokenUnavailable) {
            self.tally.fault(fault);
        }
        let failed = &self.tenants[tenant].failed;
        let again = questions.iter().filter(|q| failed.contains(q)).count();
        self.tally.retries += u64::try_from(again).unwrap();
        let mut distinct = questions.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() != batch.len() || batch.is_empty() {
            self.breaks("a call asks for nobody, for somebody twice, or for what nobody asked for");
        }
        self.tenants[tenant].in_flight += 1;
        if self.tenants[tenant].in_flight > self.setting.max_in_flight {
            self.breaks("more calls in flight than allowed");
        }
        fate
    }

    fn ended(&mut self, tenant: usize, batch: &LookupBatch, failed: Option<&Kind>) {
        let now = Instant::now();
        let at = self.ms(now);
        self.trace.add(at, || {
            format!("{at:>9} end of a call of {tenant}: {failed:?}")
        });
        let questions = Self::questions(tenant, batch);
        let world = &mut self.tenants[tenant];
        world.in_flight -= 1;
        for question in questions {
            match failed {
                Some(_) => world.failed.insert(question),
                None => world.failed.remove(&question),
            };
        }
        if matches!(
            failed,
            None | Some(Kind::ContentRefused { .. } | Kind::IdKindRefused)
        ) {
            self.ledger.answered.push((tenant, now));
        }
        if let Some(kind) = failed {
            self.ledger.failures.push(FailedCall {
                tenant,
                ended: now,
                kind: kind.clone(),
            });
        }
    }

    pub(super) fn questions(tenant: usize, batch: &LookupBatch) -> Vec<Question> {
        let who = batch.keys().filter_map(super::scenario::Who::of);
        let question = |who| Question {
            tenant,
            kind: batch.scope().user_id_type,
            resigned: batch.scope().include_resigned,
            who,
        };
        who.map(question).collect()
    }

    /// The same token while it has half an hour left.
    fn token(&mut self, tenant: usize) -> FetchedToken {
        let now = Instant::now();
        let tokens = &mut self.tenants[tenant].tokens;
        let number = tokens.len();
        let good = tokens
            .last()
            .filter(|last| !last.revoked && last.expires_at >= now + RENEWABLE);
        if good.is_none() {
            let value = format!("t-{tenant}-{number}");
            tokens.push(IssuedToken {
                value,
                expires_at: now + TOKEN_LIFE,
                revoked: false,
            });
        }
        let token = tokens.last().unwrap();
        FetchedToken {
            value: token.value.clone().into(),
            expires_in: token.expires_at - now,
        }
    }
}

pub(super) fn error(kind: Kind) -> DirectoryError {
    DirectoryError::new(kind, "on purpose")
}

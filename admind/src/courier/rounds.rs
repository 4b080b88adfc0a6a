//! What the courier does, second by second: it takes what is due and runs each errand by itself.
//!
//! Two errands of each kind at once, so at most four requests in all (W137), and neither kind can starve the
//! other; one errand for a receiver at once, so nobody can occupy more than one.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use host::exit::Fatal;
use host::resolver::Resolver;
use host::sandbox::Entered;
use secrecy::ExposeSecret;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use super::Courier;
use super::keys::{NoKeySet, key_set};
use super::outbound::Failed;
use super::store::{ATTEMPTS_MAX, Kind, Message, Source};

/// How often the tables are looked at when nothing ends.
const TICK: Duration = Duration::from_secs(1);
/// How often it is looked at who has keys where, and what is past delivering.
const UPKEEP: Duration = Duration::from_secs(5);
/// Errands of one kind at once.
const LANES: usize = 2;
/// How long errands under way may take to end; longer than any of them can.
const END: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Errand {
    Message,
    Keys,
}

/// The errands under way, and for whom.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<()>,
    of: HashMap<Id, (Errand, Uuid)>,
}

impl UnderWay {
    fn free(&self, errand: Errand) -> i64 {
        let taken = self.of.values().filter(|(kind, _)| *kind == errand).count();
        i64::try_from(LANES.saturating_sub(taken)).unwrap_or(0)
    }

    fn receivers(&self) -> Vec<Uuid> {
        self.of.values().map(|(_, receiver)| *receiver).collect()
    }

    fn start(
        &mut self,
        errand: Errand,
        receiver: Uuid,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let id = self.tasks.spawn(work).id();
        self.of.insert(id, (errand, receiver));
    }

    fn ended(&mut self, which: Result<(Id, ()), JoinError>) {
        let id = match which {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "an errand did not end by itself");
                error.id()
            }
        };
        self.of.remove(&id);
    }
}

/// Runs until it is told to stop, or has to be started again. What is under way then is finished; what is
/// not even that is taken again by whoever comes next.
pub(super) async fn run(
    _entered: Entered,
    courier: Arc<Courier>,
    resolver: &Resolver,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<(), Fatal> {
    let mut under_way = UnderWay::default();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut upkeep = Instant::now();
    let ended = loop {
        tokio::select! {
            () = &mut stop => break Ok(()),
            _ = tick.tick() => {}
            Some(which) = under_way.tasks.join_next_with_id() => under_way.ended(which),
        }
        if *resolver != Resolver::now() {
            break Err(Fatal::start(
                "the resolver's files were replaced; the sandbox must be made anew",
            ));
        }
        let kept = if upkeep <= Instant::now() {
            upkeep = Instant::now() + UPKEEP;
            courier.keep_house().await
        } else {
            Ok(())
        };
        let taken = courier.take(&mut under_way).await;
        if let Err(error) = kept.and(taken) {
            tracing::warn!(%error, "waiting for the database");
            // Not sooner than by the clock, however many errands end meanwhile.
            tick.tick().await;
        }
    };
    let finished = async { while under_way.tasks.join_next().await.is_some() {} };
    if timeout(END, finished).await.is_err() {
        tracing::warn!("errands were cut off");
    }
    ended
}

impl Courier {
    async fn keep_house(&self) -> Result<(), sqlx::Error> {
        self.store.note_sources().await?;
        for id in self.store.give_up().await? {
            tracing::warn!(%id, "a message was given up: too many attempts, or too old");
        }
        Ok(())
    }

    /// Takes as much as there are free lanes for.
    async fn take(self: &Arc<Self>, under_way: &mut UnderWay) -> Result<(), sqlx::Error> {
        let free = under_way.free(Errand::Message);
        if free > 0 {
            for message in self.store.take_messages(free, &under_way.receivers()).await? {
                let courier = Arc::clone(self);
                let receiver = message.receiver;
                let work = async move { courier.deliver(message).await };
                under_way.start(Errand::Message, receiver, work);
            }
        }
        let free = under_way.free(Errand::Keys);
        if free > 0 {
            let busy = under_way.receivers();
            for source in self.store.take_sources(free, &busy, self.jwks_max_age_s).await? {
                let courier = Arc::clone(self);
                let client = source.client;
                let work = async move { courier.fetch_keys(&source).await };
                under_way.start(Errand::Keys, client, work);
            }
        }
        Ok(())
    }

    /// At least once: an answer that is lost, or not written down, is asked for again.
    async fn deliver(&self, message: Message) {
        let Message { id, kind, url, bearer, json, attempts, .. } = message;
        let url = match kind {
            Kind::CibaPing => url.as_deref(),
            // The operator's setting alone: what a row says of it is not asked.
            Kind::ResetMail => self.mail_webhook.as_ref().map(ExposeSecret::expose_secret),
        };
        let sent = match url {
            Some(url) => self.outbound.post(url, bearer.as_ref(), json).await,
            None => Err(Failed::Nowhere),
        };
        let noted = match sent {
            Ok(()) => {
                tracing::debug!(%id, ?kind, attempts, "delivered");
                self.store.done(id).await
            }
            Err(failed) if failed.is_passing() && attempts < ATTEMPTS_MAX => {
                tracing::info!(%id, ?kind, attempts, %failed, "not delivered yet");
                return;
            }
            Err(failed) => {
                // The courier's role writes no audit: this line is the record.
                tracing::warn!(%id, ?kind, attempts, %failed, "a message was given up");
                self.store.failed(id).await
            }
        };
        if let Err(error) = noted {
            tracing::warn!(%id, %error, "what came of a message could not be noted; it is tried again");
        }
    }

    /// Whatever goes wrong keeps the former copy (W139).
    async fn fetch_keys(&self, source: &Source) {
        let client = source.client;
        let answer = match self.outbound.fetch(&source.uri).await {
            Ok(answer) => answer,
            Err(failed) => {
                tracing::info!(%client, %failed, "a client's keys were not fetched");
                return;
            }
        };
        let set = match key_set(&answer) {
            Ok(set) => set,
            Err(NoKeySet::Form | NoKeySet::Many) => {
                tracing::info!(%client, "a client's jwks_uri gave no set of at most 20 keys");
                return;
            }
            Err(NoKeySet::Secret) => {
                tracing::warn!(%client, "a client's jwks_uri publishes a private key; nothing is kept of it");
                return;
            }
        };
        if let Err(error) = self.store.keep_keys(source, &set).await {
            tracing::warn!(%client, %error, "a client's keys could not be kept");
        }
    }
}

//! `list` and `peek`: looking, which changes nothing that matters. And what every command knows of messages.
//!
//! A receive counts as one, which no dead-letter queue minds: it redrives to nowhere.

use super::{
    Inspector,
    audit::{Change, Who},
    count, mask,
    message::Facts,
    ports::{PAGE_MAX, Ports, ReceivedMessage, Resource},
    stack::{DeadLetterQueue, Layout, Source, layout},
    stop::Stop,
    walk::{Walk, lease},
};
use crate::{
    answer::{Listed, Peeked},
    request::{PEEK_MAX, Peek},
};
use domain::Timestamp;
use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use lambda_kit::Failure;
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// Most of bodies that one answer shows, as JSON: Lambda takes no answer above 6 MB
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>), and a body within one is escaped once more.
pub const SHOWN_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most messages that `list` reads of a queue, to tell its age.
const LIST_READ_MAX: usize = 100;
/// Concurrent receives of a walk that only looks: 10,000 messages are 250 rounds.
pub(crate) const RECEIVES: usize = 4;
/// Most look-ups in a log of one invocation. CloudWatch Logs allows five FilterLogEvents a second, of the whole account.
pub(crate) const LOOK_UPS_MAX: usize = 25;
/// Concurrent calls about configuration.
const CALLS: usize = 8;
/// Receives of a peek that hides nothing, the last of which bring what the first did.
const PEEKS_MAX: usize = 3;

impl<P: Ports> Inspector<P> {
    /// The stack's queues as they are now.
    ///
    /// # Errors
    /// Where a call failed.
    pub(crate) async fn layout(&self) -> Result<Layout, Failure> {
        let resources = self.ports.resources().await?;
        let of = |kind: &'static str| resources.iter().filter(move |resource| resource.kind == kind);
        let facts = |queue: &Resource| {
            let queue = queue.clone();
            async move { self.ports.facts(&queue.physical_id).await.map(|facts| (queue, facts)) }
        };
        let queues: Vec<_> = stream::iter(of("AWS::SQS::Queue")).map(facts).buffered(CALLS).try_collect().await?;
        // One that waits for its confirmation has no ARN, and no dead letters.
        let confirmed = of("AWS::SNS::Subscription").filter(|resource| resource.physical_id.starts_with("arn:"));
        let routes = stream::iter(confirmed).map(|resource| self.ports.route(&resource.physical_id));
        let routes: Vec<_> = routes.buffered(CALLS).try_collect().await?;
        Ok(layout(&resources, &queues, &routes))
    }

    pub(crate) async fn list(&self) -> Result<Vec<Listed>, Stop> {
        let layout = self.layout().await?;
        let mut listed = Vec::with_capacity(layout.dead.len());
        for answer in join_all(layout.dead.iter().map(|queue| self.listed(queue))).await {
            listed.push(answer?);
        }
        Ok(listed)
    }

    async fn listed(&self, queue: &DeadLetterQueue) -> Result<Listed, Failure> {
        let mut walk = Walk::new(&self.ports, queue, lease(queue.facts.visible.min(100)), Default::default());
        let hour_ago = self.ports.now().checked_sub(Duration::from_secs(3600)).unwrap_or(Timestamp::MIN);
        let (mut oldest, mut arrived, mut read, mut complete) = (None, Some(0), 0, queue.facts.in_flight == 0);
        let outcome = loop {
            // An empty queue is not asked: a receive would wait a second for nothing.
            if queue.facts.visible == 0 {
                break Ok(());
            }
            let page = match walk.page(PAGE_MAX, 1).await {
                Ok(Some(page)) => page,
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure),
            };
            for received in &page {
                let facts = Facts::of(received, queue.is_undelivered());
                oldest = Some(oldest.map_or(received.sent_at, |oldest: Timestamp| oldest.min(received.sent_at)));
                // When SQS moved a message nobody says; the time it was sent is that of its own queue.
                let is_known = received.moved_from.is_none() && (facts.parked || queue.is_undelivered());
                arrived = arrived.filter(|_| is_known).map(|count| count + u64::from(received.sent_at >= hour_ago));
            }
            read += page.len();
            if read >= LIST_READ_MAX {
                complete &= queue.facts.visible <= count(read);
                break Ok(());
            }
        };
        walk.end().await?;
        outcome?;
        Ok(Listed {
            queue: queue.name.clone(),
            queue_name: queue.queue_name().to_owned(),
            sources: queue.sources.iter().map(|source| source.name().to_owned()).collect(),
            depth: queue.facts.visible,
            in_flight: queue.facts.in_flight,
            oldest_sent_at: oldest,
            arrived_last_hour: arrived.filter(|_| complete),
            complete,
        })
    }

    pub(crate) async fn peek(&self, peek: &Peek, who: &Who<'_>) -> Result<Vec<Peeked>, Stop> {
        let limit = peek.limit.unwrap_or(10);
        if !(1..=PEEK_MAX).contains(&limit) {
            return Err(Stop::refused("InvalidLimit", format!("--limit is {limit}; it must be between 1 and {PEEK_MAX}.")));
        }
        let layout = self.layout().await?;
        let queue = layout.find(&peek.queue)?;
        if peek.reveal {
            self.audit(who, &Change::reveal(queue, limit)).await?;
        }
        let messages = if limit <= PAGE_MAX { self.glance(queue, limit).await? } else { self.read(queue, limit).await? };
        let (facts, _) = self.facts(queue, &messages, &mut { LOOK_UPS_MAX }, false).await?;
        let mut left = SHOWN_BYTES_MAX;
        let mut body = |received: &ReceivedMessage| {
            let shown = if peek.reveal { received.body.clone().into() } else { mask::body(&received.body) };
            match left.checked_sub(shown.to_string().len()) {
                Some(rest) => {
                    left = rest;
                    shown
                }
                None => {
                    Value::String(format!("({} bytes: more than this answer has room for; a lower limit shows it)", received.body.len()))
                }
            }
        };
        let peeked = |(received, facts): (&ReceivedMessage, Facts)| Peeked {
            body: body(received),
            message_id: facts.message_id,
            event_type: facts.event_type,
            subject: facts.subject,
            trace_id: facts.trace_id,
            receives: received.receives,
            redrives: facts.redrives,
            first_seen: received.sent_at,
            last_seen: facts.failed_at,
            cause: facts.cause,
            detail: facts.detail,
        };
        Ok(messages.iter().zip(facts).map(peeked).collect())
    }

    /// A page without a lease: nothing is hidden for a moment, so that nothing has to be given back.
    async fn glance(&self, queue: &DeadLetterQueue, limit: usize) -> Result<Vec<ReceivedMessage>, Failure> {
        let mut messages: Vec<ReceivedMessage> = Vec::new();
        for _ in 0..PEEKS_MAX {
            let page = self.ports.receive(&queue.url, limit, Duration::ZERO).await?;
            for received in page {
                if !messages.iter().any(|known| known.message_id == received.message_id) {
                    messages.push(received);
                }
            }
            if messages.len() >= limit || count(messages.len()) >= queue.facts.visible {
                break;
            }
        }
        messages.truncate(limit);
        Ok(messages)
    }

    /// More than a page: hidden for seconds, until they were all read.
    async fn read(&self, queue: &DeadLetterQueue, limit: usize) -> Result<Vec<ReceivedMessage>, Failure> {
        let mut walk = Walk::new(&self.ports, queue, lease(100), Default::default());
        let mut messages = Vec::new();
        let outcome = loop {
            match walk.page((limit - messages.len()).min(PAGE_MAX), 1).await {
                Ok(Some(page)) => messages.extend(page),
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure),
            }
            if messages.len() >= limit {
                break Ok(());
            }
        };
        walk.end().await?;
        outcome.map(|()| messages)
    }

    /// The known facts about messages, with errors from the logs as far as `look_ups` reach; and of how many the error was
    /// not looked up. Where `strictly`, because a selection goes by it, all are looked up and a log that does not answer is
    /// a failure.
    pub(crate) async fn facts(
        &self,
        queue: &DeadLetterQueue,
        messages: &[ReceivedMessage],
        look_ups: &mut usize,
        strictly: bool,
    ) -> Result<(Vec<Facts>, u64), Failure> {
        let mut facts: Vec<_> = messages.iter().map(|received| Facts::of(received, queue.is_undelivered())).collect();
        let mut by_log: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut not_looked_up = 0;
        for (at, (received, of)) in messages.iter().zip(&facts).enumerate().filter(|(_, (_, facts))| facts.asks_log()) {
            match queue.source(received, of, None) {
                Ok(Source::Queue { log_group: Some(group), .. }) => by_log.entry(group.clone()).or_default().push(at),
                _ => not_looked_up += 1,
            }
        }
        for (group, places) in by_log {
            for places in places.chunks(PAGE_MAX) {
                if *look_ups == 0 && !strictly {
                    not_looked_up += count(places.len());
                    continue;
                }
                *look_ups = look_ups.saturating_sub(1);
                let ids: Vec<_> = places.iter().map(|&at| messages[at].message_id.as_str()).collect();
                let since = places.iter().map(|&at| messages[at].sent_at).min().unwrap_or(Timestamp::UNIX_EPOCH);
                let found = match self.ports.last_errors(&group, &ids, since).await {
                    Ok(found) => found,
                    Err(failure) if strictly => return Err(failure),
                    Err(failure) => {
                        tracing::warn!(error_type = failure.error_type, error = failure.chain(), "the consumer's log was not read");
                        *look_ups = 0;
                        let why = format!("It was received too often; its consumer's log was not read ({}).", failure.error_type);
                        places.iter().for_each(|&at| facts[at].detail.clone_from(&why));
                        not_looked_up += count(places.len());
                        continue;
                    }
                };
                for &at in places {
                    let logged = found.by_id.get(&messages[at].message_id);
                    if logged.is_some() || found.complete {
                        facts[at].learn(logged);
                    } else if strictly {
                        let message = "a consumer's log is too long to look causes up in: select by id, type or subject";
                        return Err(Failure::transient("LogTooLong", message));
                    } else {
                        not_looked_up += 1;
                        facts[at].detail = "It was received too often; its consumer's log is too long to be read to its end.".into();
                    }
                }
            }
        }
        Ok((facts, not_looked_up))
    }
}

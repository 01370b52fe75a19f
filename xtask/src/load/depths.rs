//! How deep the queues on an order's way are, four times a second, and what follows from it for each: its peak, when it was
//! empty again, and how fast it drained. It reads counts alone: no message, and no queue that waits for order-deadline or
//! for people.

use anyhow::Result;
use console::machine::logical_id;
use serde_json::json;
use std::cell::{Cell, Ref, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};
use testkit::stack::Stack;
use tokio::time::MissedTickBehavior;

/// How often all of them are asked: fine enough for a picture, and twenty calls a second of the several hundred that the engine
/// can answer.
pub const EVERY: Duration = Duration::from_millis(250);

/// The consumer whose messages wait for their time, by design.
const CLOCK: &str = "order-deadline";

/// How many messages each queue held at one moment: waiting, and taken but not done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// After the start.
    pub at: Duration,
    /// In the order of [`Depths::queues`].
    pub depths: Vec<u64>,
}

/// The observations so far.
#[derive(Default)]
pub struct Depths {
    /// The queues on an order's way, as people call them: by the function that reads each.
    pub queues: Vec<String>,
    samples: RefCell<Vec<Sample>>,
    missed: Cell<usize>,
}

impl Depths {
    /// Of the queues that hear the order topic, as it is deployed.
    pub async fn of(stack: &Stack) -> Result<Self> {
        let mut queues = stack.consumers_of("OrderEventsTopic").await?;
        queues.retain(|queue| queue != CLOCK);
        Ok(Self { queues, ..Self::default() })
    }

    /// Looks until it is dropped. A look that the engine is too busy to answer is missed, and said to be: what is measured goes on.
    pub async fn watch(&self, stack: &Stack, start: Instant) {
        let mut ticks = tokio::time::interval(EVERY);
        // A slow engine is not to be asked more often for it.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let at = start.elapsed();
            match depths(stack, &self.queues).await {
                Ok(depths) => self.samples.borrow_mut().push(Sample { at, depths }),
                Err(_) => self.missed.set(self.missed.get() + 1),
            }
        }
    }

    /// How often nothing was seen.
    pub fn missed(&self) -> usize {
        self.missed.get()
    }

    /// Never held over an await.
    pub fn samples(&self) -> Ref<'_, Vec<Sample>> {
        self.samples.borrow()
    }

    /// Whether the last look found nothing. A message that is published while one is taken shows in the next.
    pub fn are_empty(&self) -> bool {
        self.samples().last().is_some_and(|sample| sample.depths.iter().all(|depth| *depth == 0))
    }

    /// What waits where, for a line of progress.
    pub fn line(&self) -> String {
        let Some(last) = self.samples().last().cloned() else { return String::new() };
        let filled = self.queues.iter().zip(last.depths).filter(|(_, depth)| *depth > 0);
        filled.map(|(queue, depth)| format!(" · {queue} {depth}")).collect()
    }

    /// How the queue at this place of [`Depths::queues`] drained.
    pub fn drain(&self, place: usize) -> Drain {
        Drain::of(&self.samples().iter().filter_map(|sample| Some((sample.at, *sample.depths.get(place)?))).collect::<Vec<_>>())
    }
}

/// All at once: of one moment as nearly as calls can be, and no slower than the slowest of them.
async fn depths(stack: &Stack, queues: &[String]) -> Result<Vec<u64>> {
    let mut calls: Vec<_> = queues.iter().map(|queue| Box::pin(depth(stack, queue))).collect();
    let mut depths = vec![None; queues.len()];
    let mut all = pin!(poll_fn(|context| {
        for (call, depth) in calls.iter_mut().zip(&mut depths).filter(|(_, depth)| depth.is_none()) {
            match call.as_mut().poll(context) {
                Poll::Ready(Ok(found)) => *depth = Some(found),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        let found: Option<Vec<u64>> = depths.iter().copied().collect();
        found.map_or(Poll::Pending, |found| Poll::Ready(Ok(found)))
    }));
    all.as_mut().await
}

async fn depth(stack: &Stack, queue: &str) -> Result<u64> {
    const COUNTED: [&str; 2] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
    let output = logical_id(queue).replace("Function", "QueueUrl");
    let url = stack.state.output(&output)?;
    let input = json!({"QueueUrl": url, "AttributeNames": COUNTED});
    let answer = stack.engine.call("sqs", "AmazonSQS.GetQueueAttributes", &input).await?;
    Ok(COUNTED.iter().filter_map(|name| answer["Attributes"][name].as_str()?.parse::<u64>().ok()).sum())
}

/// How a queue drained.
#[derive(Debug, PartialEq, Eq)]
pub struct Drain {
    pub peak: u64,
    /// When it was found empty for the rest of the run; [`None`] where it was never filled, or is not empty yet.
    pub empty_at: Option<Duration>,
    /// For how long there was something in it.
    pub filled: Duration,
}

impl Drain {
    /// A queue counts as it was found until it is looked at again.
    fn of(samples: &[(Duration, u64)]) -> Self {
        let is_filled = |(_, depth): &&(Duration, u64)| *depth > 0;
        let last = samples.iter().rposition(|sample| is_filled(&sample));
        let spans = samples.windows(2).filter(|pair| pair[0].1 > 0).map(|pair| pair[1].0 - pair[0].0);
        Self {
            peak: samples.iter().map(|(_, depth)| *depth).max().unwrap_or_default(),
            empty_at: last.and_then(|last| Some(samples.get(last + 1)?.0)),
            filled: spans.sum(),
        }
    }

    /// Of `messages` that came through, how many a second while there was something in it, in tenths; [`None`] where it was
    /// never found filled.
    pub fn tenths_per_second(&self, messages: u64) -> Option<u64> {
        messages.saturating_mul(10_000).checked_div(u64::try_from(self.filled.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(depths: &[u64]) -> Drain {
        let samples: Vec<_> = depths.iter().zip(0u32..).map(|(depth, place)| (EVERY * place, *depth)).collect();
        Drain::of(&samples)
    }

    #[test]
    fn a_queue_drains_while_it_holds_something() {
        let drained = drain(&[0, 10, 40, 0, 5, 0, 0]);
        assert_eq!(drained, Drain { peak: 40, empty_at: Some(EVERY * 5), filled: EVERY * 3 });
        assert_eq!(drained.tenths_per_second(75), Some(1000), "75 messages in 750 ms");
    }

    #[test]
    fn a_queue_that_is_not_empty_yet_says_so() {
        assert_eq!(drain(&[0, 3, 2]), Drain { peak: 3, empty_at: None, filled: EVERY });
    }

    #[test]
    fn a_queue_that_was_never_found_filled_has_no_rate() {
        for depths in [[].as_slice(), &[0, 0, 0]] {
            let drained = drain(depths);
            assert_eq!((drained.peak, drained.empty_at, drained.tenths_per_second(100)), (0, None, None));
        }
    }

    #[test]
    fn queues_are_empty_once_a_look_found_all_of_them_so() {
        let queues = ["payment", "inventory", "order-tracking"].map(str::to_owned).into();
        let depths = Depths { queues, ..Depths::default() };
        assert!(!depths.are_empty(), "nobody has looked");
        for (sample, empty, line) in [([0, 2, 7], false, " · inventory 2 · order-tracking 7"), ([0; 3], true, "")] {
            depths.samples.borrow_mut().push(Sample { at: EVERY, depths: sample.into() });
            assert_eq!((depths.are_empty(), depths.line().as_str()), (empty, line));
        }
    }
}

//! Chance: what goes wrong, when, and the story of it.
//!
//! Every simulated service draws here. It does not draw from anything but the seed, and to go on for ever: a run has a
//! number of faults, and after the last one every call succeeds.

use jiff::Timestamp;
use lambda_kit::Ambient;
use std::{
    collections::BTreeMap,
    fmt,
    future::{Future, pending},
    panic::resume_unwind,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// The longest that an undisturbed call takes, in milliseconds: enough draws for any order of the calls of two handlers.
const CALL_MAX_MS: u64 = 20;
/// How long a hanging call hangs: longer than any function may run, so that its invocation runs out of time first.
const HANG: Duration = Duration::from_secs(70);
/// When every run begins.
const EPOCH_S: i64 = 1_800_000_000;

/// An enum that knows its variants, each written once.
macro_rules! kinds {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$doc:meta])* $kind:ident,)+ }) => {
        $(#[$about])*
        pub enum $name { $($(#[$doc])* $kind,)+ }
        impl $name {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),+];
        }
    };
}

kinds! {
    /// The kinds of faults.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Fault {
        /// A call is refused, and nothing was done.
        Throttled,
        /// A call is done, and its caller hears of a time-out.
        AnswerLost,
        /// The process dies before a call.
        CrashBefore,
        /// The process dies after a call was done.
        CrashAfter,
        /// The code panics at a call.
        Panic,
        /// A call hangs until the invocation's time is over.
        Hang,
        /// A transaction meets another one.
        Conflict,
        /// The topic refuses one entry of a batch.
        EntryRefused,
        /// A message is delivered twice, by the topic or by the queue, perhaps while the first copy is being handled.
        Duplicate,
        /// A message is delivered minutes or hours late, and so out of order.
        Late,
        /// What was acknowledged comes back, because deleting it failed.
        AcknowledgementLost,
        /// The topic and the queues forget what they have just seen, and let a duplicate pass.
        DeduplicationForgotten,
        /// The event source mapping is paused for a while.
        ConsumerStopped,
        /// A body that nobody can read comes with the others.
        Poison,
        /// The provider answers 5xx, and nothing was done; it answers so again under the same key.
        ProviderError,
        /// The provider answers 5xx, and it was done; it answers so again under the same key.
        ProviderErrorAfter,
        /// The provider answers 429 or 409, and forgets it.
        ProviderBusy,
        /// The provider forgets an idempotency key.
        KeyExpired,
        /// The bank refuses this once, permanently.
        BankRefuses,
        /// The bank refuses this once, and may be asked again.
        BankHesitates,
        /// What the bank is asked takes its time: the PaymentIntent is `processing` for a while.
        BankTakesItsTime,
        /// Something between us and the provider answers, or something that it depends on is away.
        ProviderUnreachable,
    }
}

/// How bad a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultRates {
    /// Of a thousand chances for a fault, so many are taken.
    pub per_mille: u64,
    /// And at most so many in all.
    pub faults: u32,
}

/// The draws of one run.
#[derive(Debug)]
pub struct Draws {
    inner: Mutex<Inner>,
    begin: Instant,
}

#[derive(Debug)]
struct Inner {
    rng: fastrand::Rng,
    fault_rates: FaultRates,
    drawn: BTreeMap<Fault, u64>,
    story: Option<Vec<String>>,
}

impl Draws {
    /// The draws of `seed`; with a story only if somebody will read it. Inside a tokio runtime, whose clock they read.
    pub fn new(seed: u64, fault_rates: FaultRates, tells: bool) -> Self {
        let inner = Inner { rng: fastrand::Rng::with_seed(seed), fault_rates, drawn: BTreeMap::new(), story: tells.then(Vec::new) };
        Self { inner: Mutex::new(inner), begin: Instant::now() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic at a call is one of the faults, so a poisoned lock is nothing new.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&self, limit: u64) -> u64 {
        self.inner().rng.u64(0..limit)
    }
    /// True once in `n` times.
    pub fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }
    /// A time below `limit`, in whole milliseconds.
    pub fn within(&self, limit: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1)))
    }

    /// A fault among these, if it is time for one.
    pub fn fault(&self, among: &[Fault]) -> Option<Fault> {
        let mut inner = self.inner();
        if among.is_empty() || inner.fault_rates.faults == 0 || inner.rng.u64(0..1000) >= inner.fault_rates.per_mille {
            return None;
        }
        inner.fault_rates.faults -= 1;
        let fault = among[inner.rng.usize(0..among.len())];
        *inner.drawn.entry(fault).or_default() += 1;
        Some(fault)
    }
    /// No more faults from now on.
    pub fn clear(&self) {
        self.inner().fault_rates.faults = 0;
    }
    /// How many faults of each kind there were.
    pub fn drawn(&self) -> BTreeMap<Fault, u64> {
        self.inner().drawn.clone()
    }

    /// Adds a line to the story, if one is told.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.inner().story {
            let elapsed = self.begin.elapsed();
            story.push(format!("{:>6}.{:03} s  {}", elapsed.as_secs(), elapsed.subsec_millis(), line()));
        }
    }
    /// The story so far.
    pub fn story(&self) -> Vec<String> {
        self.inner().story.clone().unwrap_or_default()
    }
}

impl Ambient for Draws {
    fn now(&self) -> Timestamp {
        let elapsed_ms = i64::try_from(self.begin.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(EPOCH_S * 1000 + elapsed_ms).unwrap_or(Timestamp::MAX)
    }
    fn random(&self) -> u64 {
        self.inner().rng.u64(..)
    }
}

/// One invocation of a function: what dies in a crash.
#[derive(Debug)]
pub struct Invocation {
    /// The function and the number of the invocation, for the story.
    pub name: String,
    crashed: AtomicBool,
}

impl Invocation {
    /// A fresh one.
    pub fn new(name: String) -> Arc<Self> {
        Arc::new(Self { name, crashed: AtomicBool::new(false) })
    }
    /// Runs `code` until it ends or the process dies; [`None`] if it died.
    pub fn run<T>(self: Arc<Self>, code: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
        Running { invocation: self, code: Box::pin(code) }
    }
    async fn crash(&self) -> ! {
        self.crashed.store(true, Ordering::Relaxed);
        match pending::<std::convert::Infallible>().await {}
    }
}

struct Running<F> {
    invocation: Arc<Invocation>,
    code: Pin<Box<F>>,
}

impl<F: Future> Future for Running<F> {
    type Output = Option<F::Output>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = pin!(&mut self.code).poll(context);
        if self.invocation.crashed.load(Ordering::Relaxed) {
            // The poller drops this future, and with it everything that the process was about to do.
            return Poll::Ready(None);
        }
        ended.map(Some)
    }
}

/// A call that went wrong, as its caller sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFailure {
    /// Refused: nothing was done.
    Throttled,
    /// No answer: the outcome is unknown.
    NoAnswer,
}

/// An invocation that calls services.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The draws of the run.
    pub draws: Arc<Draws>,
    /// The process that calls.
    pub invocation: Arc<Invocation>,
}

impl Caller {
    /// One call: takes its time, goes wrong where the draws say so, and has its effect at one instant.
    pub async fn call<T>(&self, what: impl fmt::Display, effect: impl FnOnce() -> T) -> Result<T, CallFailure> {
        use Fault::{AnswerLost, CrashAfter, CrashBefore, Hang, Panic, Throttled};
        self.pause().await;
        let fault = self.draws.fault(&[Throttled, AnswerLost, CrashBefore, CrashAfter, Panic, Hang]);
        match fault {
            Some(fault) => self.tell(format_args!("{what}: {fault:?}")),
            None => self.tell(&what),
        }
        match fault {
            Some(Throttled) => return Err(CallFailure::Throttled),
            Some(CrashBefore) => self.invocation.crash().await,
            // Without the panic hook, whose report would be noise.
            Some(Panic) => resume_unwind(Box::new("the code panicked")),
            Some(Hang) => {
                sleep(HANG).await;
                return Err(CallFailure::NoAnswer);
            }
            _ => {}
        }
        let result = effect();
        match fault {
            Some(CrashAfter) => self.invocation.crash().await,
            Some(AnswerLost) => return Err(CallFailure::NoAnswer),
            _ => {}
        }
        self.pause().await;
        Ok(result)
    }

    /// Adds what this invocation does to the story.
    pub fn tell(&self, what: impl fmt::Display) {
        self.draws.tell(|| format!("{:<20} {what}", self.invocation.name));
    }

    async fn pause(&self) {
        sleep(Duration::from_millis(self.draws.below(CALL_MAX_MS))).await;
    }
}

impl Ambient for Caller {
    fn now(&self) -> Timestamp {
        self.draws.now()
    }
    fn random(&self) -> u64 {
        self.draws.random()
    }
}

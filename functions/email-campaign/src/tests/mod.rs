//! Campaigns, driven through `handle` against a world in memory: with deaths at every call, two at once, and hours that
//! pass in a moment.

mod wire;

use super::*;
use crate::{
    chunk::{ATTEMPTS_MAX, Answer, Entry as Sent, Known, RETRY_AFTER, SUSPECTS_MAX},
    lists::Object,
    report::IN_DOUBT_AFTER,
    row::Skip,
    templates::Template,
};
use domain::{EmailAddress, Timestamp};
use lambda_kit::Kind;
use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    ops::Deref,
};
use tokio::sync::Notify;

/// SES's reaction to a call.
#[derive(Clone)]
enum Ses {
    /// Refuses it as a whole.
    Refuses(&'static str),
    /// Says nothing; the mails are out.
    SendsInSilence,
    /// Says nothing; no mail is out.
    Silence,
    /// Refuses the entries for these addresses with this status.
    RefusesOf(&'static [&'static str], &'static str),
}

/// Everything outside the function.
struct World {
    list: RefCell<Object>,
    known: HashMap<String, Known>,
    per_second: u32,
    campaign: RefCell<Option<Campaign>>,
    /// By run and recipient.
    rows: RefCell<HashMap<(u32, CustomerId), State>>,
    mailed: RefCell<Vec<(Instant, String)>>,
    report: RefCell<Option<String>>,
    /// SES's reaction to the next calls; then it takes everything.
    ses: RefCell<VecDeque<Ses>>,
    /// SES refuses each call as a whole that has one of these addresses.
    unreadable: RefCell<Vec<String>>,
    /// How often SES was asked to send.
    sendings: Cell<usize>,
    /// How many of the next settlements are written without an answer.
    lost_settlements: Cell<u32>,
    began: Instant,
    rng: Cell<u64>,
    /// Whether calls take time and transactions get into each other's way.
    rough: bool,
    calls: Cell<usize>,
    /// At which call the process dies, and whether that call had its effect.
    dies_at: Cell<Option<(usize, bool)>>,
}

const TAKES: Known = Known { takes_marketing_mail: Some(true), suppressed: false };

impl World {
    /// A list of these lines behind its header, and what is known of the addresses; of others nothing is.
    fn new(lines: &str, known: HashMap<String, Known>) -> Self {
        Self {
            list: RefCell::new(Object { bytes: format!("email,name,voucher\n{lines}").into_bytes(), etag: "e1".into() }),
            known,
            per_second: 400,
            campaign: RefCell::default(),
            rows: RefCell::default(),
            mailed: RefCell::default(),
            report: RefCell::default(),
            ses: RefCell::default(),
            unreadable: RefCell::default(),
            sendings: Cell::default(),
            lost_settlements: Cell::default(),
            began: Instant::now(),
            rng: Cell::new(0x9e37_79b9_7f4a_7c15),
            rough: false,
            calls: Cell::default(),
            dies_at: Cell::default(),
        }
    }

    /// `count` customers who all take mail.
    fn willing(count: usize) -> Self {
        let addresses: Vec<_> = (0..count).map(address).collect();
        let lines: String = addresses.iter().map(|address| format!("{address},Ada,V\n")).collect();
        Self::new(&lines, addresses.into_iter().map(|address| (address, TAKES)).collect())
    }

    /// A thousand recipients of every kind, and among them lines that are none.
    fn mixed() -> Self {
        let mut known = HashMap::new();
        let mut lines = String::new();
        for n in 0..1000 {
            let standing = match n % 10 {
                0 => None,
                1 => Some(Known { takes_marketing_mail: Some(false), suppressed: false }),
                2 => Some(Known { takes_marketing_mail: Some(true), suppressed: true }),
                _ => Some(TAKES),
            };
            known.extend(standing.map(|standing| (address(n), standing)));
            lines.push_str(&format!("{},Ada,V\n", address(n)));
            if n % 100 == 99 {
                lines.push_str(&format!("{},again,V\nnobody,Ada,V\n\n\"broken,line\n", address(n).to_uppercase()));
            }
        }
        Self::new(&lines, known)
    }

    fn contended(&self, rows: usize) -> Option<Written> {
        (self.rough && self.random().is_multiple_of(4)).then(|| {
            let obstacle = |n| if n == 0 { Obstacle::Contention } else { Obstacle::Nothing };
            Written::None((0..rows).map(obstacle).collect())
        })
    }

    /// Writes all of `new` if the condition holds for each, or says what stood in the way.
    fn transact(&self, run: u32, new: &[(CustomerId, State)], fits: impl Fn(usize, Option<&State>) -> bool) -> Written {
        assert!((1..=ledger::CHUNK_MAX).contains(&new.len()), "one transaction has {} actions", new.len());
        let mut rows = self.rows.borrow_mut();
        if let Some(contended) = self.contended(new.len()) {
            return contended;
        }
        let obstacle = |(n, (id, _)): (usize, &(CustomerId, State))| match rows.get(&(run, *id)) {
            row if fits(n, row) => Obstacle::Nothing,
            row => Obstacle::Row(row.expect("a row that is gone").clone()),
        };
        let obstacles: Vec<_> = new.iter().enumerate().map(obstacle).collect();
        if obstacles.iter().any(|obstacle| *obstacle != Obstacle::Nothing) {
            return Written::None(obstacles);
        }
        rows.extend(new.iter().cloned().map(|(id, state)| ((run, id), state)));
        Written::All
    }

    /// How often each address was mailed.
    fn mails(&self) -> BTreeMap<String, usize> {
        let mut mails = BTreeMap::new();
        self.mailed.borrow().iter().for_each(|(_, address)| *mails.entry(address.clone()).or_default() += 1);
        mails
    }

    /// The report's results, by line of the list.
    fn results(&self) -> Vec<(String, String)> {
        let report = self.report.borrow().clone().expect("no report");
        let fields = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        report.lines().skip(1).map(fields).map(|fields| (fields[1].clone(), fields[2].clone())).collect()
    }

    fn count(&self, result: &str) -> usize {
        self.results().iter().filter(|(_, found)| found == result).count()
    }

    /// Checks every campaign that has ended, whatever happened on the way.
    fn check(&self, in_doubt_max: usize) {
        let mails = self.mails();
        assert!(mails.values().all(|count| *count == 1), "somebody was mailed twice");
        assert!(mails.keys().all(|address| self.known.get(address) == Some(&TAKES)), "somebody was mailed who must not be");
        let text = String::from_utf8(self.list.borrow().bytes.clone()).unwrap();
        assert_eq!(self.results().len(), text.lines().skip(1).filter(|line| !line.is_empty()).count(), "a line per line");
        for (address, result) in self.results() {
            let mailed = mails.contains_key(&address);
            match result.as_str() {
                "sent" => assert!(mailed, "reported as sent, and is not"),
                "in_doubt" => assert_eq!(self.known.get(&address), Some(&TAKES)),
                other => assert!(!mailed, "mailed, and reported as {other}"),
            }
        }
        assert!(self.count("in_doubt") <= in_doubt_max, "{} are in doubt", self.count("in_doubt"));
        let willing = self.known.values().filter(|known| **known == TAKES).count();
        assert_eq!(self.count("sent") + self.count("in_doubt"), willing, "somebody who takes mail got none");
        assert!(self.campaign.borrow().as_ref().unwrap().finished_at.is_some());
    }
}

fn address(n: usize) -> String {
    format!("c{n}@example.com")
}

/// The world, as one process of the function reaches it.
#[derive(Clone, Copy)]
struct Port<'w> {
    world: &'w World,
    /// Rung when this process dies.
    death: &'w Notify,
}

impl Deref for Port<'_> {
    type Target = World;
    fn deref(&self) -> &World {
        self.world
    }
}

impl Port<'_> {
    /// A call: it takes its time, and the process may die before or after its effect.
    async fn call<T>(&self, effect: impl FnOnce(&World) -> T) -> T {
        let call = self.calls.replace(self.calls.get() + 1);
        self.pause().await;
        self.die_if(Some((call, false))).await;
        let done = effect(self.world);
        self.die_if(Some((call, true))).await;
        self.pause().await;
        done
    }

    async fn pause(&self) {
        if self.rough {
            sleep(Duration::from_millis(self.random() % 20)).await;
        }
    }

    async fn die_if(&self, now: Option<(usize, bool)>) {
        if self.dies_at.get() == now {
            self.dies_at.set(None);
            self.death.notify_one();
            std::future::pending().await
        }
    }
}

impl Ambient for Port<'_> {
    fn now(&self) -> Timestamp {
        World::now(self)
    }
    fn random(&self) -> u64 {
        World::random(self)
    }
}

impl World {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.began.elapsed().as_millis()).unwrap();
        Timestamp::from_millisecond(1_777_889_472_000 + passed).unwrap()
    }
    fn random(&self) -> u64 {
        // SplitMix64: as much chance as these tests need, the same in every run.
        let state = self.rng.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.rng.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    }
}

impl Lists for Port<'_> {
    async fn read(&self, key: &ListKey) -> Result<Object, Failure> {
        assert_eq!(key.as_str(), "lists/spring.csv");
        Ok(self.call(|world| world.list.borrow().clone()).await)
    }
    async fn write_report(&self, _: &CampaignId, report: Vec<u8>) -> Result<(), Failure> {
        self.call(|world| *world.report.borrow_mut() = Some(String::from_utf8(report).unwrap())).await;
        Ok(())
    }
}

impl Recipients for Port<'_> {
    async fn look_up(&self, recipients: &[&Recipient]) -> Result<Vec<Known>, Failure> {
        assert!((1..=50).contains(&recipients.len()));
        let nobody = Known { takes_marketing_mail: None, suppressed: false };
        let known = |world: &World| recipients.iter().map(|r| world.known.get(&r.to.canonical()).copied().unwrap_or(nobody)).collect();
        Ok(self.call(known).await)
    }
}

impl Unsubscribe for Port<'_> {
    async fn link(&self, customer: &CustomerId) -> Result<String, Failure> {
        Ok(format!("https://api.example.com/unsubscribe/{customer}"))
    }
}

impl Ledger for Port<'_> {
    async fn open(&self, campaign: &Campaign) -> Result<Created<Campaign>, Failure> {
        let open = |world: &World| match &mut *world.campaign.borrow_mut() {
            Some(old) => Created::Exists(old.clone()),
            none => {
                *none = Some(campaign.clone());
                Created::New
            }
        };
        Ok(self.call(open).await)
    }
    async fn start_again(&self, over: &Campaign, new: &Campaign) -> Result<bool, Failure> {
        let start = |world: &World| {
            let mut stored = world.campaign.borrow_mut();
            let stored = stored.as_mut().unwrap();
            let is_it = stored.run == over.run && stored.mailed == Some(0);
            if is_it {
                *stored = new.clone();
            }
            is_it
        };
        Ok(self.call(start).await)
    }
    async fn claim(&self, campaign: &Campaign, wishes: &[Wish]) -> Result<Written, Failure> {
        let new: Vec<_> = wishes.iter().map(|wish| (wish.customer_id, wish.becomes.clone())).collect();
        let fits = |n: usize, row: Option<&State>| match (wishes[n].over, row) {
            (None, None) => true,
            (Some(attempts), Some(State::Released { attempts: found })) => attempts == *found,
            _ => false,
        };
        Ok(self.call(|world| world.transact(campaign.run, &new, fits)).await)
    }
    async fn settle(&self, campaign: &Campaign, claim: u64, marks: &[(CustomerId, State)]) -> Result<Written, Failure> {
        let is_it = |_: usize, row: Option<&State>| matches!(row, Some(State::Sending { claim: found, .. }) if *found == claim);
        let written = self.call(|world| world.transact(campaign.run, marks, is_it)).await;
        let lost = self.lost_settlements.get();
        self.lost_settlements.set(lost.saturating_sub(1));
        if lost > 0 || self.rough && self.random().is_multiple_of(4) {
            return Err(Failure::transient("Timeout", "TransactWriteItems failed"));
        }
        Ok(written)
    }
    async fn advance(&self, campaign: &Campaign, next_line: u32, accepted: bool) -> Result<(), Failure> {
        self.change(campaign, |stored| {
            stored.next_line = next_line;
            stored.accepted |= accepted;
        })
        .await
    }
    async fn finish(&self, campaign: &Campaign, at: Timestamp, mailed: u32) -> Result<(), Failure> {
        self.change(campaign, |stored| {
            stored.finished_at.get_or_insert(at);
            stored.mailed.get_or_insert(mailed);
        })
        .await
    }
    async fn rows(&self, campaign: &Campaign, customers: &[CustomerId]) -> Result<HashMap<CustomerId, State>, Failure> {
        assert!((1..=ROWS_MAX).contains(&customers.len()));
        let row = |world: &World, id| Some((id, world.rows.borrow().get(&(campaign.run, id))?.clone()));
        Ok(self.call(|world| customers.iter().filter_map(|id| row(world, *id)).collect()).await)
    }
}

impl Port<'_> {
    async fn change(&self, campaign: &Campaign, change: impl FnOnce(&mut Campaign)) -> Result<(), Failure> {
        let change = |world: &World| {
            let mut stored = world.campaign.borrow_mut();
            let stored = stored.as_mut().unwrap();
            if stored.run != campaign.run {
                return Err(Failure::transient("CampaignStartedAgain", "not its run"));
            }
            change(stored);
            Ok(())
        };
        self.call(change).await
    }
}

impl Sender for Port<'_> {
    async fn rate(&self) -> Result<u32, Failure> {
        Ok(self.call(|world| world.per_second).await)
    }
    async fn send(&self, bulk: &Bulk<'_>) -> Answer {
        assert!((1..=ledger::BULK_ENTRIES_MAX).contains(&bulk.mails.len()));
        self.call(|world| {
            let post = |mail: &BulkMail| {
                let customer = CustomerId::from_email(&mail.to);
                assert!(mail.unsubscribe_url.ends_with(&customer.to_string()) && mail.data.contains(&mail.unsubscribe_url));
                world.mailed.borrow_mut().push((Instant::now(), mail.to.canonical()));
                Sent::Accepted(format!("id-{customer}"))
            };
            world.sendings.set(world.sendings.get() + 1);
            if bulk.mails.iter().any(|mail| world.unreadable.borrow().contains(&mail.to.canonical())) {
                return Answer::Refused("BadRequestException".to_owned());
            }
            match world.ses.borrow_mut().pop_front() {
                None => Answer::Entries(bulk.mails.iter().map(post).collect()),
                Some(Ses::Refuses(code)) => Answer::Refused(code.to_owned()),
                Some(Ses::Silence) => Answer::Silence("Timeout".to_owned()),
                Some(Ses::SendsInSilence) => {
                    bulk.mails.iter().map(post).for_each(drop);
                    Answer::Silence("Timeout".to_owned())
                }
                Some(Ses::RefusesOf(addresses, status)) => {
                    let refused = |mail: &BulkMail| addresses.contains(&mail.to.as_str());
                    let entry = |mail| if refused(mail) { Sent::Refused(status.to_owned()) } else { post(mail) };
                    Answer::Entries(bulk.mails.iter().map(entry).collect())
                }
            }
        })
        .await
    }
}

type Campaigns<'w> = EmailCampaign<Port<'w>, Port<'w>, Port<'w>, Port<'w>, Port<'w>, Port<'w>>;

/// A process of the function.
fn process<'w>(world: &'w World, death: &'w Notify) -> Campaigns<'w> {
    let port = Port { world, death };
    let pace = RefCell::default();
    EmailCampaign { lists: port, recipients: port, unsubscribe: port, ledger: port, sender: port, ambient: port, pace }
}

fn start() -> Start {
    r#"{"campaign_id": "spring-2026", "template": "newsletter", "list": "lists/spring.csv"}"#.parse().unwrap()
}

/// One delivery, in the time that an invocation has; [`None`] where the process died.
async fn deliver(process: &Campaigns<'_>) -> Option<Result<Handled, Failure>> {
    let delivery = Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() };
    let start = start();
    let handling = async {
        let began = Instant::now();
        let handled = process.handle(&start, &delivery).await;
        assert!(began.elapsed() < Duration::from_secs(57), "the batch core would have dropped it");
        handled
    };
    tokio::select! {
        biased;
        () = process.ledger.death.notified() => None,
        handled = handling => Some(handled),
    }
}

/// Delivers the message as SQS does until it is acknowledged; returns what was retried, and the failure that parked it.
async fn until_the_end(world: &World) -> Vec<Failure> {
    let mut failures = Vec::new();
    let death = Notify::new();
    let mut running = process(world, &death);
    for _ in 0..1000 {
        let wait = match deliver(&running).await {
            Some(Ok(Handled { look_again_after: None, publish })) => {
                assert_eq!(publish, []);
                return failures;
            }
            Some(Ok(Handled { look_again_after: Some(after), .. })) => {
                assert!(after >= Duration::from_secs(1), "hidden for no second is not hidden");
                Duration::from_secs(after.as_secs())
            }
            Some(Err(failure)) => {
                let parked = failure.kind == Kind::Permanent;
                failures.push(failure);
                if parked {
                    return failures;
                }
                Duration::from_secs(60)
            }
            // The visibility timeout.
            None => {
                running = process(world, &death);
                Duration::from_secs(360)
            }
        };
        sleep(wait).await;
    }
    panic!("a thousand receives did not end the campaign")
}

#[tokio::test(start_paused = true)]
async fn a_thousand_recipients_are_mailed_once_and_each_is_reported() {
    let world = World::mixed();
    assert!(until_the_end(&world).await.is_empty());
    world.check(0);
    let counts = ["sent", "unknown", "no_consent", "suppressed", "duplicate", "invalid_address", "invalid_line"].map(|of| world.count(of));
    assert_eq!(counts, [700, 100, 100, 100, 10, 10, 10]);
}

/// Where a worker can die: before and after each of the calls that the campaign over such a world takes.
async fn deaths(world: impl Fn() -> World) -> Vec<(usize, bool)> {
    let world = world();
    until_the_end(&world).await;
    (0..world.calls.get()).flat_map(|call| [(call, false), (call, true)]).collect()
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_call_mails_nobody_twice() {
    let deaths = deaths(World::mixed).await;
    let calls = deaths.len() / 2;
    assert!(calls > 100, "{calls} calls are no campaign");
    let mut in_doubt = 0;
    for (call, after) in deaths {
        let world = World::mixed();
        world.dies_at.set(Some((call, after)));
        assert!(until_the_end(&world).await.is_empty());
        assert_eq!(world.dies_at.get(), None, "call {call} never came");
        world.check(50);
        in_doubt += world.count("in_doubt");
    }
    assert!(in_doubt > 0, "no death fell between a claim and what became of it");
}

#[tokio::test(start_paused = true)]
async fn two_workers_on_one_campaign_mail_each_recipient_once() {
    for seed in 0..20 {
        let mut world = World::mixed();
        (world.rough, world.per_second) = (true, 4000);
        world.rng.set(seed);
        let refusals =
            [Ses::Refuses("TooManyRequestsException"), Ses::RefusesOf(&["c3@example.com", "c55@example.com"], "ACCOUNT_THROTTLED")];
        world.ses.replace(refusals.into_iter().cycle().take(4).collect());
        let (a, b) = tokio::join!(until_the_end(&world), until_the_end(&world));
        assert!(a.iter().chain(&b).all(|failure| failure.error_type == "TransactionConflict"), "{a:?} {b:?}");
        world.check(0);
    }
}

#[tokio::test(start_paused = true)]
async fn two_workers_of_which_one_dies_mail_nobody_twice() {
    for seed in 0..40 {
        let mut world = World::mixed();
        (world.rough, world.per_second) = (true, 4000);
        world.rng.set(1_000 + seed);
        world.dies_at.set(Some((usize::try_from(seed).unwrap() * 5, seed % 2 == 0)));
        tokio::join!(until_the_end(&world), until_the_end(&world));
        world.check(50);
    }
}

#[tokio::test(start_paused = true)]
async fn a_campaign_takes_a_quarter_of_the_rate_also_after_pauses() {
    let mut world = World::willing(400);
    world.per_second = 14;
    assert!(until_the_end(&world).await.is_empty());
    world.check(0);
    let mailed = world.mailed.borrow();
    let took = mailed.last().unwrap().0 - mailed[0].0;
    assert!(took >= Duration::from_secs(113) && took < Duration::from_secs(125), "400 mails at 3.5 a second took {took:?}");
    for (first, (began, _)) in mailed.iter().enumerate() {
        let within = mailed[first..].iter().take_while(|(at, _)| *at - *began < Duration::from_secs(10)).count();
        assert!(within <= 35 + 3, "{within} mails in ten seconds");
    }
}

#[tokio::test(start_paused = true)]
async fn the_sandbox_with_one_mail_a_second_is_served_too() {
    let mut world = World::willing(20);
    world.per_second = 1;
    assert!(until_the_end(&world).await.is_empty());
    world.check(0);
    let mailed = world.mailed.borrow();
    assert!(mailed.windows(2).all(|pair| pair[1].0 - pair[0].0 >= Duration::from_secs(4)), "one in four seconds");
}

#[tokio::test(start_paused = true)]
async fn a_slice_ends_in_time_and_the_next_goes_on_where_it_ended() {
    let mut world = World::willing(400);
    world.per_second = 14;
    let death = Notify::new();
    let running = process(&world, &death);
    let began = Instant::now();
    let handled = deliver(&running).await.unwrap().unwrap();
    assert_eq!(handled.look_again_after, Some(Duration::from_secs(1)));
    assert!(began.elapsed() <= WORK_FOR);
    let sent = world.mailed.borrow().len();
    assert!((150..=160).contains(&sent), "{sent} in {WORK_FOR:?}");
    let next = world.campaign.borrow().as_ref().unwrap().next_line;
    assert_eq!(usize::try_from(next).unwrap(), sent + 2, "the line after the header and those who were mailed");
    let calls = world.calls.get();
    sleep(Duration::from_secs(1)).await;
    deliver(&running).await.unwrap().unwrap();
    assert!(world.mailed.borrow().len() > sent + 150, "no time is lost on who was mailed before");
    assert!(world.calls.get() < calls + 5 * 55, "nor calls");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_mailed_nobody_and_all_are_tried_again() {
    for code in ["TooManyRequestsException", "LimitExceededException"] {
        let world = World::willing(120);
        world.ses.replace(vec![Ses::Refuses(code); 3].into());
        let failures = until_the_end(&world).await;
        assert_eq!(failures.len(), if code == "TooManyRequestsException" { 0 } else { 3 }, "{code}");
        world.check(0);
        assert!(world.began.elapsed() >= RETRY_AFTER * 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_leaves_only_its_chunk_in_doubt() {
    for silence in [Ses::Silence, Ses::SendsInSilence] {
        let world = World::willing(120);
        world.ses.replace([silence].into());
        let failures = until_the_end(&world).await;
        assert_eq!(failures.iter().map(|failure| failure.error_type.as_str()).collect::<Vec<_>>(), ["Timeout"]);
        world.check(50);
        assert_eq!((world.count("in_doubt"), world.count("sent")), (50, 70));
    }
}

#[tokio::test(start_paused = true)]
async fn a_temporary_refusal_is_retried_a_bounded_number_of_times() {
    const WHO: &[&str] = &["c3@example.com", "c7@example.com"];
    for (times, sent) in [(ATTEMPTS_MAX - 1, 60), (ATTEMPTS_MAX, 58)] {
        let world = World::willing(60);
        world.ses.replace(vec![Ses::RefusesOf(WHO, "TRANSIENT_FAILURE"); usize::try_from(times).unwrap()].into());
        assert!(until_the_end(&world).await.is_empty());
        assert_eq!((world.count("sent"), world.count("failed:TRANSIENT_FAILURE")), (sent, 60 - sent));
        assert!(world.mails().values().all(|count| *count == 1));
        assert!(world.began.elapsed() >= RETRY_AFTER * (ATTEMPTS_MAX - 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_recipient_whom_ses_rejects_has_failed_and_the_others_are_mailed() {
    let world = World::willing(60);
    world.ses.replace([Ses::RefusesOf(&["c3@example.com"], "MESSAGE_REJECTED")].into());
    assert!(until_the_end(&world).await.is_empty());
    assert_eq!((world.count("sent"), world.count("failed:MESSAGE_REJECTED")), (59, 1));
}

#[tokio::test(start_paused = true)]
async fn a_used_up_quota_delays_the_campaign_and_fails_nobody() {
    const WHO: &[&str] = &["c30@example.com", "c31@example.com", "c32@example.com"];
    let world = World::willing(60);
    world.ses.replace(vec![Ses::RefusesOf(WHO, "ACCOUNT_DAILY_QUOTA_EXCEEDED"); 20].into());
    let failures = until_the_end(&world).await;
    assert_eq!(failures.len(), 20);
    assert!(failures.iter().all(|failure| failure.kind == Kind::Transient && failure.error_type == "ACCOUNT_DAILY_QUOTA_EXCEEDED"));
    world.check(0);
}

#[tokio::test(start_paused = true)]
async fn a_fault_for_people_parks_the_campaign_until_its_redrive() {
    for code in [
        "AccessDeniedException",
        "SendingPausedException",
        "AccountSuspendedException",
        "MailFromDomainNotVerifiedException",
        "NotFoundException",
    ] {
        let world = World::willing(120);
        world.ses.replace([Ses::Refuses(code)].into());
        let failures = until_the_end(&world).await;
        assert_eq!((failures.len(), failures[0].kind, failures[0].error_type.as_str()), (1, Kind::Permanent, code));
        assert_eq!((world.sendings.get(), world.mailed.borrow().len(), world.report.borrow().is_none()), (1, 0, true));
        assert!(until_the_end(&world).await.is_empty());
        world.check(0);
    }
}

/// Checks the case where SES could not read some addresses: `bad` of `all`.
fn check_narrowed(world: &World, all: usize, bad: usize) {
    assert_eq!((world.count("sent"), world.count("failed:BadRequestException")), (all - bad, bad));
    let mails = world.mails();
    assert_eq!(mails.len(), all - bad);
    assert!(mails.values().all(|count| *count == 1), "somebody was mailed twice");
}

#[tokio::test(start_paused = true)]
async fn one_bad_address_fails_alone_and_the_rest_of_its_call_is_mailed() {
    for bad in [vec![7], vec![7, 60, 61, 199], (50..100).collect()] {
        let world = World::willing(200);
        world.unreadable.replace(bad.iter().map(|n| address(*n)).collect());
        assert!(until_the_end(&world).await.is_empty());
        check_narrowed(&world, 200, bad.len());
        // A call for each chunk, and two for each time that one is halved: six times on the way to one of fifty.
        let calls_max = 4 + (bad.len() * 2 * 6).min(2 * 50);
        assert!(world.sendings.get() <= calls_max, "{} calls for {bad:?}", world.sendings.get());
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_address_before_anybody_was_accepted_is_left_for_later() {
    for (bad, per_second) in [([0, 1, 2], 1), ([0, 1, 2], 400), ([0, 3, 8], 40)] {
        let mut world = World::willing(20);
        world.per_second = per_second;
        world.unreadable.replace(bad.map(address).into());
        assert!(until_the_end(&world).await.is_empty());
        check_narrowed(&world, 20, 3);
    }
}

/// The process that saw the one acceptance is gone, and the rest of its chunk are more bad addresses than a template is forgiven.
#[tokio::test(start_paused = true)]
async fn what_was_accepted_before_a_death_proves_that_the_template_is_right() {
    let world = || {
        let mut world = World::willing(12);
        world.per_second = 48;
        world.unreadable.replace((1..12).map(address).collect());
        world
    };
    for (call, after) in deaths(world).await {
        let world = world();
        world.dies_at.set(Some((call, after)));
        let failures = until_the_end(&world).await;
        // Where the death left the good one in doubt, nobody was accepted.
        if world.mailed.borrow().is_empty() || world.rows.borrow().values().any(|row| matches!(row, State::Sending { .. })) {
            continue;
        }
        assert!(failures.is_empty(), "{failures:?} after a death at call {call}");
        check_narrowed(&world, 12, 11);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_template_fails_nobody_and_parks_the_campaign() {
    for per_second in [1, 40, 400] {
        let mut world = World::willing(120);
        world.per_second = per_second;
        world.unreadable.replace((0..120).map(address).collect());
        let failures = until_the_end(&world).await;
        assert_eq!((failures.len(), failures[0].kind, failures[0].error_type.as_str()), (1, Kind::Permanent, "BadRequestException"));
        assert!(failures[0].message.contains("the template"), "{}", failures[0].message);
        assert_eq!((world.mailed.borrow().len(), world.report.borrow().is_none()), (0, true));
        let calls_max = usize::try_from(SUSPECTS_MAX).unwrap() + 2 * 6;
        assert!(world.sendings.get() <= calls_max, "{} calls", world.sendings.get());
        world.unreadable.take();
        assert!(until_the_end(&world).await.is_empty());
        world.check(0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_bad_addresses_alone_is_parked_and_goes_round_no_more() {
    let world = World::willing(2);
    world.unreadable.replace((0..2).map(address).collect());
    for _ in 0..2 {
        let failures = until_the_end(&world).await;
        assert_eq!((failures.len(), failures[0].kind, failures[0].error_type.as_str()), (1, Kind::Permanent, "BadRequestException"));
    }
    assert!(world.sendings.get() <= 3 * usize::try_from(ATTEMPTS_MAX).unwrap() + 3, "{} calls", world.sendings.get());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_while_it_narrows_mails_nobody_twice() {
    let world = || {
        let world = World::willing(60);
        world.unreadable.replace([3, 30].map(address).into());
        world
    };
    for (call, after) in deaths(world).await {
        let world = world();
        world.dies_at.set(Some((call, after)));
        assert!(until_the_end(&world).await.is_empty());
        assert_eq!(world.dies_at.get(), None, "call {call} never came");
        assert!(world.mails().values().all(|count| *count == 1), "somebody was mailed twice");
        let counts = ["sent", "failed:BadRequestException", "in_doubt"].map(|of| world.count(of));
        assert_eq!(counts.iter().sum::<usize>(), 60, "{counts:?}");
        assert!(counts[2] <= 50 && counts[1] <= 2, "{counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_became_of_a_chunk_is_written_although_the_answers_are_lost() {
    let world = World::willing(120);
    world.lost_settlements.set(3);
    assert!(until_the_end(&world).await.is_empty());
    world.check(0);
}

#[tokio::test(start_paused = true)]
async fn a_campaign_that_is_over_does_nothing_when_it_is_delivered_again() {
    let world = World::willing(60);
    until_the_end(&world).await;
    let (calls, finished) = (world.calls.get(), world.campaign.borrow().clone());
    world.report.take();
    assert!(until_the_end(&world).await.is_empty());
    assert_eq!(world.calls.get(), calls + 2, "the list is read and the campaign found");
    assert_eq!((world.mailed.borrow().len(), world.report.borrow().is_none()), (60, true));
    assert_eq!(*world.campaign.borrow(), finished);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_used_for_another_list_is_refused_and_mails_nobody() {
    let world = World::willing(60);
    until_the_end(&world).await;
    world.list.borrow_mut().etag = "e2".into();
    let failures = until_the_end(&world).await;
    assert_eq!((failures[0].kind, failures[0].error_type.as_str()), (Kind::Permanent, "CampaignChanged"));
    assert_eq!(world.mailed.borrow().len(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_refused_list_writes_nothing_and_may_be_started_again() {
    let world = World::willing(3);
    let good = world.list.borrow().bytes.clone();
    for (bad, error_type) in [
        (b"email,name,voucher\n".to_vec(), "ListEmpty"),
        (b"name\nAda\n".to_vec(), "NoEmailColumn"),
        (b"email\nada@example.com\n".to_vec(), "ColumnMissing"),
        (b"email,name,voucher\nz@example.com,Zo\xeb,V\n".to_vec(), "ListNotUtf8"),
        (vec![b'x'; list::LIST_BYTES_MAX + 1], "ListTooLarge"),
        (format!("email,name,voucher\n{}", "x,y,z\n".repeat(list::LIST_LINES_MAX + 1)).into_bytes(), "ListTooLong"),
    ] {
        world.list.borrow_mut().bytes = bad;
        let failures = until_the_end(&world).await;
        assert_eq!((failures[0].kind, failures[0].error_type.as_str()), (Kind::Permanent, error_type));
        assert_eq!((world.campaign.borrow().is_none(), world.rows.borrow().len()), (true, 0));
    }
    world.list.borrow_mut().bytes = good;
    assert!(until_the_end(&world).await.is_empty());
    world.check(0);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_names_nobody_ends_with_a_report_and_asks_ses_nothing() {
    let world = World::new("nobody,Ada,V\n", HashMap::new());
    assert!(until_the_end(&world).await.is_empty());
    assert_eq!(world.results(), [("nobody".to_owned(), "invalid_address".to_owned())]);
    assert_eq!(world.calls.get(), 4, "the list, the campaign, the report, the end");
}

/// The lists of a campaign that mails nobody, for one reason or another, and of one that mails 60.
fn in_vain(world: &mut World, why: &str) -> (Object, Object) {
    let good = world.list.borrow().clone();
    let bad = Object { etag: "e0".into(), ..good.clone() };
    match why {
        "nobody is a customer" => world.known.clear(),
        "no line has an address" => return (Object { bytes: b"email,name,voucher\nnobody,Ada,V\n".to_vec(), ..bad }, good),
        "nobody has agreed yet" => world.known.values_mut().for_each(|known| known.takes_marketing_mail = Some(false)),
        _ => _ = world.ses.replace([Ses::RefusesOf(ALL_OF_TWO, "MESSAGE_REJECTED")].into()),
    }
    (bad, good)
}
const ALL_OF_TWO: &[&str] = &["c0@example.com", "c1@example.com"];

#[tokio::test(start_paused = true)]
async fn a_campaign_that_mailed_nobody_can_be_started_again_under_its_name() {
    for why in ["nobody is a customer", "no line has an address", "nobody has agreed yet", "ses rejects everybody"] {
        let mut world = World::willing(2);
        let known = world.known.clone();
        let (bad, good) = in_vain(&mut world, why);
        world.list.replace(bad);
        assert!(until_the_end(&world).await.is_empty());
        assert_eq!((world.count("sent"), world.campaign.borrow().as_ref().unwrap().mailed), (0, Some(0)), "{why}");
        // Another list, and what was wrong is not wrong any more.
        world.known = known;
        world.list.replace(good);
        assert!(until_the_end(&world).await.is_empty(), "{why}");
        world.check(0);
        assert_eq!(world.mailed.borrow().len(), 2, "{why}");
        world.list.borrow_mut().etag = "e2".into();
        assert_eq!(until_the_end(&world).await[0].error_type, "CampaignChanged", "a name that mailed somebody is spent");
    }
}

#[tokio::test(start_paused = true)]
async fn a_campaign_that_may_have_mailed_somebody_is_not_started_again() {
    let world = World::willing(1);
    world.ses.replace([Ses::Silence].into());
    until_the_end(&world).await;
    assert_eq!((world.count("in_doubt"), world.count("sent")), (1, 0));
    until_the_end(&world).await;
    world.list.borrow_mut().etag = "e2".into();
    assert_eq!(until_the_end(&world).await[0].error_type, "CampaignChanged");
    assert_eq!(world.mailed.borrow().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn two_starts_after_one_that_mailed_nobody_mail_everybody_once_wherever_one_dies() {
    let started = async |dies_at: Option<(usize, bool)>| {
        let mut world = World::willing(60);
        let known = std::mem::take(&mut world.known);
        until_the_end(&world).await;
        world.known = known;
        let before = world.calls.get();
        world.dies_at.set(dies_at.map(|(call, after)| (before + call, after)));
        let (a, b) = tokio::join!(until_the_end(&world), until_the_end(&world));
        let passes = |failure: &Failure| failure.kind == Kind::Transient;
        assert!(a.iter().chain(&b).all(passes), "{a:?} {b:?}");
        world.check(50);
        world.calls.get() - before
    };
    let calls = started(None).await;
    for call in 0..calls {
        for after in [false, true] {
            started(Some((call, after))).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_another_worker_is_waited_for_before_anything_is_reported() {
    let world = World::willing(1);
    let ada = CustomerId::from_email(&address(0).parse::<EmailAddress>().unwrap());
    world.rows.borrow_mut().insert((1, ada), State::Sending { attempt: 1, claimed_at: world.now(), claim: 7 });
    let handled = deliver(&process(&world, &Notify::new())).await.unwrap().unwrap();
    assert_eq!((handled.look_again_after, world.report.borrow().is_none()), (Some(IN_DOUBT_AFTER), true));
    until_the_end(&world).await;
    assert_eq!((world.count("in_doubt"), world.mailed.borrow().len()), (1, 0), "never mailed again");
}

#[tokio::test(start_paused = true)]
async fn a_recipient_released_by_another_worker_is_mailed_in_the_end() {
    let world = World::willing(120);
    let who = CustomerId::from_email(&address(5).parse::<EmailAddress>().unwrap());
    until_the_end(&world).await;
    // As if the other worker had been on that chunk all the time, and was refused.
    world.rows.borrow_mut().insert((1, who), State::Released { attempts: 1 });
    world.mailed.borrow_mut().retain(|(_, to)| *to != address(5));
    world.campaign.borrow_mut().as_mut().unwrap().finished_at = None;
    assert!(until_the_end(&world).await.is_empty());
    world.check(0);
}

#[tokio::test(start_paused = true)]
async fn who_unsubscribes_between_two_attempts_is_not_tried_again() {
    let mut world = World::willing(2);
    let who = CustomerId::from_email(&address(1).parse::<EmailAddress>().unwrap());
    world.rows.borrow_mut().insert((1, who), State::Released { attempts: 1 });
    world.known.insert(address(1), Known { takes_marketing_mail: Some(false), suppressed: false });
    assert!(until_the_end(&world).await.is_empty());
    world.check(0);
    assert_eq!(world.rows.borrow()[&(1, who)], State::Skipped { skip: Skip::NoConsent });
}

#[test]
fn the_samples_are_read_as_the_function_reads_them() {
    let sample = |name: &str| {
        let path = format!("{}/../../events/email-campaign/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let event: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        event["Records"][0]["body"].as_str().unwrap().to_owned()
    };
    let started: Start = sample("start-campaign").parse().unwrap();
    assert_eq!((started.campaign_id.as_str(), started.list.as_str()), ("spring-2026", "lists/spring.csv"));
    assert_eq!(started.template, Template::find("newsletter").unwrap());
    assert!(sample("unreadable-body").parse::<Start>().is_err());
    assert!(sample("unknown-template").parse::<Start>().unwrap_err().0.contains("no such template"));
}

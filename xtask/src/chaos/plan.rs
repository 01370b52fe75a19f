//! The plan for the customers of a run, drawn from its seed: the same seed places the same orders under the same keys.
//! Nothing here speaks to a stack, and nothing here knows of faults.

use fastrand::Rng;
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::shop::{DECLINED, VISA, key_of, new_key};

/// The catalogue of a run: SKU and price.
const CUP: (&str, u64) = ("CHAOS-CUP", 1200);
const BOWL: (&str, u64) = ("CHAOS-BOWL", 700);
/// Half as many as are wanted.
const RARE: (&str, u64) = ("CHAOS-RARE", 9900);
/// None at all.
const GONE: (&str, u64) = ("CHAOS-GONE", 300);
/// More than anybody orders of one SKU in one order.
const PLENTY_AN_ORDER: u64 = 10;

/// A small run would place its orders before most faults have begun: it is stretched to this.
const LOAD_AT_LEAST: Duration = Duration::from_secs(40);

/// The special feature of a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twist {
    Good,
    Declined,
    OutOfStock,
    /// Wants the last unit of something, like others.
    LastUnits,
    /// Asks to cancel this long after the order was accepted.
    Cancels(Duration),
    /// Sends the request twice at once, under one key.
    SendsTwice,
}

/// An order to place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    pub key: String,
    /// SKUs and quantities, ordered by SKU.
    pub lines: Vec<(&'static str, u32)>,
    pub payment_method: &'static str,
    pub twist: Twist,
    /// After the one before.
    pub pause: Duration,
}

impl Planned {
    pub fn total_minor(&self) -> i64 {
        let price = |sku: &str| [CUP, BOWL, RARE, GONE].iter().find(|good| good.0 == sku).map_or(0, |good| good.1);
        self.lines.iter().map(|(sku, quantity)| price(sku).cast_signed() * i64::from(*quantity)).sum()
    }
}

/// The orders of a run, and what there is to sell.
pub struct Plan {
    pub orders: Vec<Planned>,
    /// By SKU: the price, and how many there are.
    pub goods: BTreeMap<&'static str, (u64, u64)>,
}

impl Plan {
    /// Orders that nothing keeps from shipping, one like the other but for its key: what `load` places.
    pub fn alike(count: usize) -> Self {
        let one = || Planned {
            key: new_key(),
            lines: vec![(BOWL.0, 1), (CUP.0, 1)],
            payment_method: VISA,
            twist: Twist::Good,
            pause: Duration::ZERO,
        };
        let plenty = count as u64 * PLENTY_AN_ORDER;
        let goods = [CUP, BOWL].map(|(sku, price)| (sku, (price, plenty)));
        Self { orders: std::iter::repeat_with(one).take(count).collect(), goods: goods.into() }
    }

    pub fn of(seed: u64, count: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut orders = Vec::with_capacity(count);
        while orders.len() < count {
            // Bursts and trickle by turns: batches that fill up, and messages that come alone.
            let (length, pause_ms) = if rng.bool() { (rng.usize(5..=20), 0..=30) } else { (rng.usize(5..=15), 300..=1200) };
            for _ in 0..length.min(count - orders.len()) {
                let pause = Duration::from_millis(rng.u64(pause_ms.clone()));
                orders.push(planned(&mut rng, orders.len(), pause));
            }
        }
        stretch(&mut orders);
        let wanted = orders.iter().filter(|order| order.twist == Twist::LastUnits).count() as u64;
        let plenty = count as u64 * PLENTY_AN_ORDER;
        let stock = [(CUP, plenty), (BOWL, plenty), (RARE, wanted.div_ceil(2)), (GONE, 0)];
        Self { orders, goods: stock.into_iter().map(|((sku, price), available)| (sku, (price, available))).collect() }
    }
}

fn planned(rng: &mut Rng, place: usize, pause: Duration) -> Planned {
    // Soon: an order is decided within a second where nothing holds it up, and some of them shall be too late.
    let cancels = Twist::Cancels(Duration::from_millis(rng.u64(0..600)));
    // The first six are one of each; then of twenty customers eight want nothing special.
    let twist = match (place, rng.u32(0..20)) {
        (0, _) | (6.., 0..8) => Twist::Good,
        (1, _) | (6.., 8..10) => Twist::Declined,
        (2, _) | (6.., 10..12) => Twist::OutOfStock,
        (3, _) | (6.., 12..15) => Twist::LastUnits,
        (4, _) | (6.., 15..18) => cancels,
        _ => Twist::SendsTwice,
    };
    let (cups, bowls) = (rng.u32(1..=3), rng.u32(1..=2));
    let mut lines = match twist {
        Twist::OutOfStock => vec![(CUP.0, cups), (GONE.0, 1)],
        Twist::LastUnits => vec![(CUP.0, 1), (RARE.0, 1)],
        _ if rng.bool() => vec![(CUP.0, cups)],
        _ => vec![(CUP.0, cups), (BOWL.0, bowls)],
    };
    lines.sort_unstable();
    let payment_method = if twist == Twist::Declined { DECLINED } else { VISA };
    Planned { key: key_of(rng.u128(..)), lines, payment_method, twist, pause }
}

fn stretch(orders: &mut [Planned]) {
    let total = orders.iter().map(|order| order.pause).sum::<Duration>().max(Duration::from_millis(1));
    let factor = LOAD_AT_LEAST.as_millis().div_ceil(total.as_millis()).max(1);
    for order in orders {
        order.pause *= u32::try_from(factor).unwrap_or(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_another_seed_another() {
        let [one, again, other] = [1, 1, 2].map(|seed| Plan::of(seed, 60).orders);
        assert_eq!(one, again);
        assert_ne!(one, other);
    }

    #[test]
    fn orders_alike_differ_by_their_key_and_find_enough_of_everything() {
        let Plan { orders, goods } = Plan::alike(3);
        assert!(orders.iter().all(|order| order.twist == Twist::Good && order.lines == orders[0].lines && order.total_minor() == 1900));
        assert_eq!(orders.iter().map(|order| &order.key).collect::<std::collections::BTreeSet<_>>().len(), 3);
        assert!(orders[0].lines.iter().all(|(sku, quantity)| goods[sku].1 >= 3 * u64::from(*quantity)));
    }

    #[test]
    fn the_smallest_run_has_every_kind_of_customer() {
        let Plan { orders, goods } = Plan::of(7, usize::try_from(super::super::ORDERS_MIN).unwrap());
        for index in 0..6 {
            let same = |twist: &Twist| std::mem::discriminant(twist) == std::mem::discriminant(&orders[index].twist);
            assert_eq!(orders[..6].iter().filter(|order| same(&order.twist)).count(), 1);
        }
        assert!(orders.iter().map(|order| order.pause).sum::<Duration>() >= LOAD_AT_LEAST);
        let rare = orders.iter().filter(|order| order.twist == Twist::LastUnits).count() as u64;
        assert!(goods[RARE.0].1 < rare || rare == 1, "somebody goes without");
        assert!(orders.iter().all(|order| order.total_minor() > 0 && order.lines.is_sorted()));
    }
}

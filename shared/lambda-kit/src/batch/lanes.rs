//! Which records may be handled concurrently.

use super::record::Record;
use std::collections::HashMap;

/// Splits records into lanes, by their places. Records of one lane are handled in the order in which they came: those of
/// a FIFO group, and those that contend, directly or through others, for the same rows.
pub(super) fn lanes<M>(records: &[Record<M>]) -> Vec<Vec<usize>> {
    let mut leader: Vec<usize> = (0..records.len()).collect();
    let mut first_with = HashMap::new();
    for (index, record) in records.iter().enumerate() {
        let rows = match (&record.group_id, &record.incoming) {
            (Some(group), _) => std::slice::from_ref(group),
            (None, Some(Ok(incoming))) => &incoming.contends_for[..],
            (None, _) => &[],
        };
        for row in rows {
            let other = *first_with.entry(row.as_str()).or_insert(index);
            let (a, b) = (find(&leader, other), find(&leader, index));
            leader[a.max(b)] = a.min(b);
        }
    }
    let mut lanes: Vec<Vec<usize>> = Vec::new();
    let mut lane_of = HashMap::new();
    for index in 0..records.len() {
        let lane = *lane_of.entry(find(&leader, index)).or_insert_with(|| {
            lanes.push(Vec::new());
            lanes.len() - 1
        });
        lanes[lane].push(index);
    }
    lanes
}

/// The first record of the lane that `index` belongs to.
fn find(leader: &[usize], mut index: usize) -> usize {
    while leader[index] != index {
        index = leader[index];
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Delivery, Incoming};

    fn record(group_id: Option<&str>, rows: &[&str]) -> Record<()> {
        let contends_for = rows.iter().map(|row| (*row).to_owned()).collect();
        Record {
            delivery: Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() },
            receipt_handle: None,
            body: String::new(),
            group_id: group_id.map(Into::into),
            source_queue: "q".into(),
            attributes: vec![],
            check: None,
            incoming: Some(Ok(Incoming { message: (), event_id: String::new(), subject: String::new(), traceparent: None, contends_for })),
        }
    }

    #[test]
    fn records_without_anything_in_common_run_concurrently() {
        assert_eq!(lanes(&[record(None, &[]), record(None, &["a"]), record(None, &["b"])]), [vec![0], vec![1], vec![2]]);
        assert!(lanes::<()>(&[]).is_empty());
    }

    #[test]
    fn records_of_a_fifo_group_share_a_lane_in_their_order() {
        let records = [record(Some("x"), &[]), record(Some("y"), &[]), record(Some("x"), &[]), record(Some("y"), &[])];
        assert_eq!(lanes(&records), [vec![0, 2], vec![1, 3]]);
    }

    #[test]
    fn records_that_contend_through_a_third_share_a_lane() {
        let records = [record(None, &["a"]), record(None, &["b"]), record(None, &["c"]), record(None, &["b", "a"]), record(None, &["c"])];
        assert_eq!(lanes(&records), [vec![0, 1, 3], vec![2, 4]]);
    }
}

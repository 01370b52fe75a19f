//! Which known name somebody may have meant.

/// Longest name that is compared: a longer one is nobody's.
const NAME_MAX: usize = 64;

/// Up to three of `known` that are near `name`, the nearest first.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Vec<&'k str> {
    let reach = (name.chars().count() / 3).clamp(2, 4);
    let far = |known: &str| if !name.is_empty() && known.contains(name) { 1 } else { distance(name, known) };
    let mut near: Vec<_> = known.into_iter().map(|known| (far(known), known)).filter(|(far, _)| *far <= reach).collect();
    near.sort_unstable();
    near.into_iter().map(|(_, known)| known).take(3).collect()
}

/// ` Did you mean …?`, or nothing.
pub fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    match nearest(name, known).as_slice() {
        [] => String::new(),
        near => format!(" Did you mean {}?", near.join(" or ")),
    }
}

/// Edits from one to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().take(NAME_MAX).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().take(NAME_MAX).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first_and_the_far_not_at_all() {
        let known = ["payment", "shipping", "inventory", "order-email", "order-tracking"];
        assert_eq!(nearest("paymet", known), ["payment"]);
        assert_eq!(nearest("shiping", known), ["shipping"]);
        assert_eq!(nearest("order", known), ["order-email", "order-tracking"]);
        assert!(nearest("zzz", known).is_empty());
        assert_eq!(did_you_mean("paymnt", known), " Did you mean payment?");
        assert_eq!((distance("", "abc"), distance("kitten", "sitting")), (3, 3));
    }
}

//! The lines of an order: what is bought, and how many.

use crate::id::Sku;
use serde::{Deserialize, Serialize};

/// Most lines in one order. All are reserved in one DynamoDB transaction, which takes 100 actions; 50 lines and the
/// reservation stay well below, and their events far below the 256 KiB that SNS takes.
pub const LINES_MAX: usize = 50;

/// Most units in one line: beyond it an order is a typing error or a wholesale deal, and neither should ship by itself.
pub const QUANTITY_MAX: u32 = 1_000;

/// So many units of one SKU.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    /// The content.
    pub sku: Sku,
    /// How many, 1 to [`QUANTITY_MAX`].
    pub quantity: u32,
}

/// An [`Item`] at the catalogue's price when the order was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The content.
    pub sku: Sku,
    /// How many, 1 to [`QUANTITY_MAX`].
    pub quantity: u32,
    /// Price of one unit, in minor units of the order's currency.
    pub unit_price_minor: u64,
}

/// The items of `lines`, ordered by SKU, so that two stages that speak of the same items write the same list.
pub fn items(lines: &[Line]) -> Vec<Item> {
    let mut items: Vec<_> = lines.iter().map(|line| Item { sku: line.sku.clone(), quantity: line.quantity }).collect();
    items.sort();
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_items_of_lines_are_ordered_by_sku_and_carry_no_price() {
        let line = |sku: &str, quantity| Line { sku: sku.parse().unwrap(), quantity, unit_price_minor: 1200 };
        let item = |sku: &str, quantity| Item { sku: sku.parse().unwrap(), quantity };
        assert_eq!(items(&[line("TEAPOT", 1), line("MUG-BLUE", 2)]), [item("MUG-BLUE", 2), item("TEAPOT", 1)]);
    }
}

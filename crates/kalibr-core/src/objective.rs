//! What a goal wants: placeholder

mod within;

pub use within::{SAME_COST, cheapest_within, p_within};

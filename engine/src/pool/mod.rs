//! Pool.

pub mod checksum;

//! Address spaces.

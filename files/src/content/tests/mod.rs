//! Tests of contents.

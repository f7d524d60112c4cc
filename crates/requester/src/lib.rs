//! Buys compute: matching, ordering, verifying, paying.

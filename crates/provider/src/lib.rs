//! Sells compute: admission, pricing, running, receipts, payment.

//! Small clients that call every endpoint from every AZ at a fixed pace.

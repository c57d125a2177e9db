//! Offers and answers without a transport: real browsers' offers, two of ours, and what must be refused.

mod browsers;
mod browsers_answers;
mod bundling;
mod codecs;
mod common;
mod data_channels;
mod failures;
mod hostile;
mod random_walk;
mod renegotiation;
mod rfc8829_examples;
mod rollback;
mod sending_only;
mod states;
mod tracks;
mod wrong_input;

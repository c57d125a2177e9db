//! Data channels over the simulated pair, one file per behaviour.

mod closing;
mod limits;
mod loss;
mod opening;
mod soak;
mod support;

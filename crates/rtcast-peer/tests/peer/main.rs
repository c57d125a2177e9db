//! Peer connections over the sockets of this machine, one file per behaviour.

mod addresses;
mod data_channels;
mod fan_out;
mod loopback;
mod support;

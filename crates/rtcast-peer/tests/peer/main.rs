//! Peer connections over the sockets of this machine, one file per behaviour.

mod addresses;
mod configuration;
mod data_channels;
mod dtmf;
mod fan_out;
mod ice_restart;
mod ice_servers;
mod ice_settings;
mod loopback;
mod mdns;
mod relay;
mod support;
mod track_states;
mod transceivers;
mod transports;
mod turn_errors;

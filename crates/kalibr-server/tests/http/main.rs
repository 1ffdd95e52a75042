//! The server as its clients meet it: real sockets, a real ledger, providers that are simulated or scripted.

mod bad_input;
mod calls;
mod classify;
mod client;
mod contracts;
mod decisions;
mod failures;
mod gateway;
mod goals;
mod guard;
mod kalibr;
mod learning;
mod models;
mod native;
mod people;
mod privacy;
mod provider;
mod replay;
mod rules;
mod sessions;
mod shutdown;
mod signals;

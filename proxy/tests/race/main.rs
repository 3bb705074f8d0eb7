//! Races: a purge in the middle of a slow render, thousands of times. A request that begins after a
//! purge was answered never gets a response from before it.
//!
//! The origin shows on each page the version that the page had when the request *arrived*, and
//! answers a little later. A mutator raises a version and purges. Once the purge is answered, no
//! older version may be shown: neither to the mutator nor to the readers, who ask for random pages
//! all the time. The seed of a run is printed; `SHELLAC_RACE_SEED` repeats its choices, though not
//! the threads' timing.

#[cfg(test)]
mod arena;

#[cfg(test)]
mod kinds;
#[cfg(test)]
mod flavors;
#[cfg(test)]
mod crowds;
#[cfg(test)]
mod stores;
#[cfg(test)]
mod bystanders;
#[cfg(test)]
mod compressed;

//! The query API as a client meets it: a store that the writer made, served on a port, asked over
//! HTTP.

mod fresh;
mod lists;
mod model;
mod problems;
mod served;
mod shapes;

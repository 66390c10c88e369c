//! The numbers of tenants, each looked up once while a batch is written.

use std::collections::BTreeMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension};

use crate::Error;

pub(super) struct Tenants<'c> {
    statement: CachedStatement<'c>,
    known: BTreeMap<String, i64>,
}

impl<'c> Tenants<'c> {
    pub(super) fn new(connection: &'c Connection) -> Result<Self, Error> {
        Ok(Self {
            statement: connection
                .prepare_cached("select number from tenant where tenant_id = ?1")?,
            known: BTreeMap::new(),
        })
    }

    /// A tenant's number; none: it is not there yet.
    pub(super) fn number(&mut self, tenant_id: &str) -> Result<Option<i64>, Error> {
        if let Some(number) = self.known.get(tenant_id) {
            return Ok(Some(*number));
        }
        let number = self
            .statement
            .query_row([tenant_id], |row| row.get(0))
            .optional()?;
        if let Some(number) = number {
            self.known.insert(tenant_id.to_owned(), number);
        }
        Ok(number)
    }
}

//! A running TMM seen through its gRPC interface, as the controller's certificate allows.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use anyhow::{Context, Result};
use netlab::Namespace;
use tmm_rpc::{TlsFiles, TlsMaterial, TmmClient, proto};
use tonic::{Response, Status, transport::Channel};

/// All tables of one moment.
#[derive(Clone, Debug, Default)]
pub struct Tables(Vec<proto::Table>);

impl Tables {
    /// Rows of a table as column name and text, in order.
    pub fn rows(&self, table: &str) -> Vec<BTreeMap<String, String>> {
        let Some(table) = self.0.iter().find(|candidate| candidate.name == table) else {
            return Vec::new();
        };
        let text = |cell: &proto::Cell| match &cell.value {
            Some(proto::cell::Value::Text(text)) => text.clone(),
            Some(proto::cell::Value::Number(number)) => number.to_string(),
            None => String::new(),
        };
        table
            .rows
            .iter()
            .map(|row| table.columns.iter().cloned().zip(row.cells.iter().map(text)).collect())
            .collect()
    }

    /// The number in `column` of the row whose first column is `name`.
    ///
    /// # Panics
    ///
    /// If the TMM has no such table, row or number: a wrong name must not read as 0.
    pub fn number(&self, table: &str, name: &str, column: &str) -> u64 {
        let found = self.table(table);
        let first = found.columns.first().map_or("", String::as_str);
        let row = found.rows.iter().find(|row| found.text_at(row, first) == Some(name));
        row.and_then(|row| found.number_at(row, column))
            .unwrap_or_else(|| panic!("no number {table}/{name}/{column}"))
    }

    /// The sum of `column` over all rows of `table`.
    ///
    /// # Panics
    ///
    /// If the TMM has no such table or numbers, or the table has no row.
    pub fn sum(&self, table: &str, column: &str) -> u64 {
        let found = self.table(table);
        assert!(!found.rows.is_empty(), "{table} has no row");
        let number = |row| found.number_at(row, column);
        found.rows.iter().map(|row| number(row).expect(column)).sum()
    }

    fn table(&self, name: &str) -> &proto::Table {
        let found = self.0.iter().find(|table| table.name == name);
        found.unwrap_or_else(|| panic!("no table {name}"))
    }

    /// Packets dropped under `reason`.
    pub fn drops(&self, reason: &str) -> u64 {
        self.number("drop_stat", reason, "packets")
    }

    /// Drop reasons with their packets, those that are not zero.
    pub fn all_drops(&self) -> BTreeMap<String, u64> {
        self.rows("drop_stat")
            .into_iter()
            .filter_map(|row| Some((row.get("reason")?.clone(), row.get("packets")?.parse().ok()?)))
            .filter(|(_, packets)| *packets > 0)
            .collect()
    }

    /// Names of the tables.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|table| table.name.as_str()).collect()
    }
}

/// A connected client.
pub type Client = TmmClient<Channel>;

/// Reads the tables of the TMM at `address` inside `namespace`, with the certificates in `state`.
///
/// # Errors
///
/// If the TMM cannot be reached or refuses.
pub fn tables(namespace: &Namespace, address: SocketAddr, state: &Path) -> Result<Tables> {
    let tls = TlsFiles::controller(state).load()?;
    let reply = call(namespace, address, &tls, async |mut client: Client| {
        client.statistics(proto::StatisticsRequest::default()).await
    })?;
    Ok(Tables(reply.tables))
}

/// Makes one call with given certificates and returns its answer.
///
/// # Errors
///
/// If no connection can be made, or the TMM refuses the call.
pub fn call<T: Send>(
    namespace: &Namespace,
    address: SocketAddr,
    tls: &TlsMaterial,
    ask: impl AsyncFnOnce(Client) -> Result<Response<T>, Status> + Send,
) -> Result<T> {
    namespace.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = TmmClient::to(address, tls).await?;
            let reply = ask(client).await.context("the TMM refused the call")?;
            Ok(reply.into_inner())
        })
    })?
}

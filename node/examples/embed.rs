//! A replicated store in a program: `cargo run -p anabranch --example embed`.

use anabranch::{Batch, Datastore, Query};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join("anabranch-embed");
    let store = Datastore::builder().open(folder).await?;

    store.put("/fruit/apple", "red").await?; // durable when this returns
    store.commit(Batch::new().put("/fruit/kiwi", "green").delete("/fruit/pear")).await?;
    assert_eq!(store.get("/fruit/apple").await?.as_deref(), Some(&b"red"[..]));

    let mut rows = store.query(Query { prefix: "/fruit".into(), ..Query::default() }).await?;
    while let Some(row) = rows.next().await {
        let row = row?;
        println!("{} is {}", row.key, String::from_utf8_lossy(&row.value.unwrap_or_default()));
    }
    store.close().await;
    Ok(())
}

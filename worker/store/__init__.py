"""Where facts are kept: the lake (Parquet), the ledger (SQL) and the DuckDB engine over both."""

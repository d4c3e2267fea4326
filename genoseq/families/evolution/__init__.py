"""Better sequences, step by step, by any model as proposer and any as judge."""

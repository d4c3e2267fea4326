"""Training of the small models that genoseq ships: data, objectives, metrics, one module per model."""

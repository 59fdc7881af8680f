"""LAW: prometheus_client and nobody else's business. Names and labels are a contract with people's dashboards."""

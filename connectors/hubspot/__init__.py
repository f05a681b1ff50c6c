"""HubSpot: the connector and its local sandbox."""

"""A local server that answers as a HubSpot account does within the surface the product uses."""

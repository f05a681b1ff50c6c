"""A local server that answers as a Salesforce org does within the surface the product uses."""

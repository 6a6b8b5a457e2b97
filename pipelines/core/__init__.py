"""What every room may use: tenant, settings, parameters, errors, intervals, reports."""

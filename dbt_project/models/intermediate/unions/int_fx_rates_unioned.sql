{{ union_canonical('fx_rates') }}

{{ union_canonical('control_totals') }}

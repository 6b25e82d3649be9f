{{ union_canonical('quarantined_records') }}

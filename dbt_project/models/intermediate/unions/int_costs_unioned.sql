{{ union_canonical('costs') }}

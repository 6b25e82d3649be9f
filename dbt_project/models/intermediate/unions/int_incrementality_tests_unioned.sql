{{ union_canonical('incrementality_tests') }}

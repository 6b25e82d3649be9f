-- Every day of every source that counts its records has come through whole.
select
    source_relation,
    entity,
    measure,
    date,
    currency,
    source_total,
    warehouse_total,
    difference
from {{ ref('source_reconciliation') }}
where not is_reconciled

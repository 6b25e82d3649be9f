"""The part of Shopify's Admin schema (2026-07) that the sandbox answers: names, nullability and arguments as
published."""

SDL = """
schema { query: QueryRoot }
scalar DateTime
scalar Decimal
scalar UnsignedInt64
enum OrderSortKeys { CREATED_AT ID ORDER_NUMBER PROCESSED_AT UPDATED_AT }
enum CustomerSortKeys { CREATED_AT ID UPDATED_AT }
enum ProductVariantSortKeys { ID SKU }
enum AbandonedCheckoutSortKeys { CHECKOUT_ID CREATED_AT ID }
enum OrderCancelReason { CUSTOMER DECLINED FRAUD INVENTORY OTHER STAFF }
enum OrderDisplayFinancialStatus {
  AUTHORIZED EXPIRED PAID PARTIALLY_PAID PARTIALLY_REFUNDED PENDING REFUNDED VOIDED
}
enum OrderTransactionKind { AUTHORIZATION CAPTURE CHANGE EMV_AUTHORIZATION REFUND SALE SUGGESTED_REFUND VOID }
enum OrderTransactionStatus { AWAITING_RESPONSE ERROR FAILURE PENDING SUCCESS UNKNOWN }
enum OrderAdjustmentDiscrepancyReason { CUSTOMER DAMAGE REFUND_DISCREPANCY RESTOCK }

interface Node { id: ID! }
type PageInfo { hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String }
type MoneyV2 { amount: Decimal! currencyCode: String! }
type MoneyBag { shopMoney: MoneyV2! presentmentMoney: MoneyV2! }
type Attribute { key: String! value: String }
type MailingAddress implements Node { id: ID! countryCodeV2: String }
type CustomerEmailAddress { emailAddress: String! }
type AccessScope { handle: String! description: String! }
type AppInstallation implements Node { id: ID! accessScopes: [AccessScope!]! }
type Shop implements Node {
  id: ID! name: String! myshopifyDomain: String! currencyCode: String! ianaTimezone: String!
  taxesIncluded: Boolean! email: String!
}
type Product implements Node { id: ID! title: String! productType: String! }
type InventoryItem implements Node { id: ID! sku: String unitCost: MoneyV2 tracked: Boolean! }
type ProductVariant implements Node {
  id: ID! sku: String title: String! displayName: String! price: String! product: Product!
  inventoryItem: InventoryItem! createdAt: DateTime! updatedAt: DateTime!
}
type ProductVariantConnection { nodes: [ProductVariant!]! edges: [ProductVariantEdge!]! pageInfo: PageInfo! }
type ProductVariantEdge { cursor: String! node: ProductVariant! }
type Customer implements Node {
  id: ID! createdAt: DateTime! updatedAt: DateTime! numberOfOrders: UnsignedInt64!
  firstName: String lastName: String defaultEmailAddress: CustomerEmailAddress defaultAddress: MailingAddress
}
type CustomerConnection { nodes: [Customer!]! edges: [CustomerEdge!]! pageInfo: PageInfo! }
type CustomerEdge { cursor: String! node: Customer! }
type DiscountAllocation { allocatedAmountSet: MoneyBag! }
type TaxLine { title: String! rate: Float ratePercentage: Float priceSet: MoneyBag! }
type LineItem implements Node {
  id: ID! name: String! title: String! sku: String quantity: Int! currentQuantity: Int! isGiftCard: Boolean!
  originalUnitPriceSet: MoneyBag! originalTotalSet: MoneyBag! discountAllocations: [DiscountAllocation!]!
  taxLines(first: Int): [TaxLine!]! variant: ProductVariant product: Product
}
type LineItemConnection { nodes: [LineItem!]! edges: [LineItemEdge!]! pageInfo: PageInfo! }
type LineItemEdge { cursor: String! node: LineItem! }
type OrderTransaction implements Node {
  id: ID! kind: OrderTransactionKind! status: OrderTransactionStatus! gateway: String test: Boolean!
  processedAt: DateTime createdAt: DateTime! amountSet: MoneyBag!
}
type RefundLineItem {
  id: ID quantity: Int! restocked: Boolean! subtotalSet: MoneyBag! totalTaxSet: MoneyBag! lineItem: LineItem!
}
type RefundLineItemConnection { nodes: [RefundLineItem!]! edges: [RefundLineItemEdge!]! pageInfo: PageInfo! }
type RefundLineItemEdge { cursor: String! node: RefundLineItem! }
type OrderAdjustment implements Node {
  id: ID! reason: OrderAdjustmentDiscrepancyReason amountSet: MoneyBag! taxAmountSet: MoneyBag!
}
type OrderAdjustmentConnection {
  nodes: [OrderAdjustment!]! edges: [OrderAdjustmentEdge!]! pageInfo: PageInfo!
}
type OrderAdjustmentEdge { cursor: String! node: OrderAdjustment! }
type RefundShippingLine implements Node { id: ID! subtotalAmountSet: MoneyBag! taxAmountSet: MoneyBag! }
type RefundShippingLineConnection {
  nodes: [RefundShippingLine!]! edges: [RefundShippingLineEdge!]! pageInfo: PageInfo!
}
type RefundShippingLineEdge { cursor: String! node: RefundShippingLine! }
type Refund implements Node {
  id: ID! createdAt: DateTime updatedAt: DateTime! note: String order: Order! totalRefundedSet: MoneyBag!
  refundLineItems(first: Int, after: String): RefundLineItemConnection!
  orderAdjustments(first: Int, after: String): OrderAdjustmentConnection!
  refundShippingLines(first: Int, after: String): RefundShippingLineConnection!
}
type Order implements Node {
  id: ID! name: String! createdAt: DateTime! processedAt: DateTime! updatedAt: DateTime! cancelledAt: DateTime
  cancelReason: OrderCancelReason displayFinancialStatus: OrderDisplayFinancialStatus test: Boolean!
  taxesIncluded: Boolean! currencyCode: String! presentmentCurrencyCode: String! email: String
  customer: Customer customAttributes: [Attribute!]!
  shippingAddress: MailingAddress billingAddress: MailingAddress
  subtotalPriceSet: MoneyBag totalShippingPriceSet: MoneyBag! totalTaxSet: MoneyBag totalPriceSet: MoneyBag!
  totalDiscountsSet: MoneyBag totalRefundedSet: MoneyBag!
  lineItems(first: Int, after: String, last: Int, before: String, reverse: Boolean): LineItemConnection!
  transactions(first: Int, capturable: Boolean): [OrderTransaction!]!
  refunds(first: Int): [Refund!]!
}
type OrderConnection { nodes: [Order!]! edges: [OrderEdge!]! pageInfo: PageInfo! }
type OrderEdge { cursor: String! node: Order! }
type AbandonedCheckoutLineItem implements Node {
  id: ID! title: String sku: String quantity: Int! discountedTotalPriceSet: MoneyBag!
  originalTotalPriceSet: MoneyBag! variant: ProductVariant
}
type AbandonedCheckoutLineItemConnection {
  nodes: [AbandonedCheckoutLineItem!]! edges: [AbandonedCheckoutLineItemEdge!]! pageInfo: PageInfo!
}
type AbandonedCheckoutLineItemEdge { cursor: String! node: AbandonedCheckoutLineItem! }
type AbandonedCheckout implements Node {
  id: ID! name: String! abandonedCheckoutUrl: String! createdAt: DateTime! updatedAt: DateTime!
  completedAt: DateTime customer: Customer customAttributes: [Attribute!]!
  shippingAddress: MailingAddress billingAddress: MailingAddress
  subtotalPriceSet: MoneyBag! totalPriceSet: MoneyBag! totalTaxSet: MoneyBag
  lineItems(first: Int, after: String): AbandonedCheckoutLineItemConnection!
}
type AbandonedCheckoutConnection {
  nodes: [AbandonedCheckout!]! edges: [AbandonedCheckoutEdge!]! pageInfo: PageInfo!
}
type AbandonedCheckoutEdge { cursor: String! node: AbandonedCheckout! }
type QueryRoot {
  shop: Shop!
  currentAppInstallation: AppInstallation!
  node(id: ID!): Node
  nodes(ids: [ID!]!): [Node]!
  order(id: ID!): Order
  orders(first: Int, after: String, query: String, sortKey: OrderSortKeys, reverse: Boolean): OrderConnection!
  customers(
    first: Int, after: String, query: String, sortKey: CustomerSortKeys, reverse: Boolean
  ): CustomerConnection!
  productVariants(
    first: Int, after: String, query: String, sortKey: ProductVariantSortKeys, reverse: Boolean
  ): ProductVariantConnection!
  abandonedCheckouts(
    first: Int, after: String, query: String, sortKey: AbandonedCheckoutSortKeys, reverse: Boolean
  ): AbandonedCheckoutConnection!
}
"""

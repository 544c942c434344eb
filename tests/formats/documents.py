"""XML documents of two standards: a feed of RSS 2.0, and a production performance of B2MML (ISA-95)."""

RSS = b"""<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom">
  <channel>
    <title>Plant notices</title>
    <link>https://plant.example/</link>
    <description>What &amp; when</description>
    <atom:link href="https://plant.example/rss" rel="self" type="application/rss+xml"/>
    <item>
      <title>Line 3 stops</title><guid isPermaLink="false">n-1</guid>
      <pubDate>Fri, 27 Nov 2026 06:00:00 GMT</pubDate>
    </item>
    <item>
      <title>Line 3 runs</title><guid isPermaLink="false">n-2</guid>
      <description><![CDATA[<b>all</b> good]]></description>
    </item>
  </channel>
</rss>"""
B2MML = b"""<?xml version="1.0" encoding="ISO-8859-1"?>
<ProductionPerformance xmlns="http://www.mesa.org/xml/B2MML"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <ID>PP-2026-11-27</ID>
  <PublishedDate>2026-11-27T06:00:00.000Z</PublishedDate>
  <Location>
    <EquipmentID>Halle S\xfcd</EquipmentID><EquipmentElementLevel>Area</EquipmentElementLevel>
  </Location>
  <ProductionResponse>
    <ID>R-1</ID>
    <SegmentResponse>
      <ActualStartTime>2026-11-27T05:10:00.000Z</ActualStartTime>
      <MaterialActual><MaterialDefinitionID>M-7</MaterialDefinitionID>
        <Quantity><QuantityString>12.50</QuantityString><UnitOfMeasure>kg</UnitOfMeasure></Quantity></MaterialActual>
      <MaterialActual><MaterialDefinitionID>M-8</MaterialDefinitionID>
        <Quantity><QuantityString xsi:nil="true"/></Quantity></MaterialActual>
    </SegmentResponse>
  </ProductionResponse>
</ProductionPerformance>"""

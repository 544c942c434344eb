{#
  Which declaration a table was built by. A staging model's edition is a fingerprint of what streams.yml declares of its stream
  and of how values are typed; a model after it has the editions of the tables that it reads. Each is a row of raw._editions,
  written in the transaction that builds the table, so a crash cannot part them. A table of another edition is built again
  from raw, whole: rows of two declarations are never in one table.

  A project takes part by two lines of its own: the pre-hook `take_turn`, and `should_full_refresh` in macros/millrace.sql.
#}
{% macro should_full_refresh() -%}
    {%- if dbt.should_full_refresh() -%}
        {{ return(true) }}
    {%- endif -%}
    {%- if not execute or config.get('full_refresh') is not none or model.resource_type != 'model' or model.config.materialized != 'incremental' -%}
        {{ return(false) }}
    {%- endif -%}
    {{ return(millrace.is_outdated()) }}
{%- endmacro %}


{#
  Goes up when staging makes something else of the same events and the same declaration: then all that is staged is built again.
#}
{% macro typing_version() -%}
    {{ return(4) }}
{%- endmacro %}


{# What decides which rows staging makes of a stream, as text: equal texts, equal rows. #}
{% macro declaration_of(stream) -%}
    {%- set declared = {'typing': millrace.typing_version()} -%}
    {%- for key, value in millrace.stream_meta(stream).items() if key not in ('owner', 'dagster', 'dedup_window_minutes') -%}
        {%- do declared.update({key: value}) -%}
    {%- endfor -%}
    {{ return(tojson(declared, sort_keys=true)) }}
{%- endmacro %}


{#
  What this dbt command knows of editions, read once: `recorded` by relation, and what was `decided` by model. A decision holds
  for the whole command: a model that was compiled to be built again must not be appended to. Where commands share a process,
  what was `read` stays until the `state` of the table is another.
#}
{% macro editions() -%}
    {%- set known = graph.setdefault('millrace_editions', {}) -%}
    {%- if known.get('invocation') != invocation_id -%}
        {%- set exists = "select exists (select 1 from tables where name = ''raw._editions'')" -%}
        {%- set row = millrace.ask_catalog({'is_kept': exists, 'state': millrace.state_of_editions()}) -%}
        {%- if not row[0] or row[1] is none or row[1] != known.get('state') -%}
            {%- do known.update({'read': millrace.read_editions() if row[0] else {}}) -%}
        {%- endif -%}
        {%- do known.update(
            {'invocation': invocation_id, 'is_kept': row[0], 'state': row[1], 'recorded': dict(known.read), 'decided': {}}
        ) -%}
    {%- endif -%}
    {{ return(known) }}
{%- endmacro %}


{% macro read_editions() -%}
    {%- set found = {} -%}
    {%- set query -%}
        select table_name, max_by(edition, generation) as edition, max_by(declaration, generation) as declaration, max(generation) as generation
        from {{ millrace.kept_editions() }}
        group by table_name
    {%- endset -%}
    {%- for row in run_query(query).rows -%}
        {%- do found.update({row[0]: {'edition': row[1], 'declaration': row[2], 'generation': row[3] | int}}) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}


{% macro kept_editions() -%}
    {{ return(adapter.quote(target.database) ~ '.raw._editions') }}
{%- endmacro %}


{# Whether the model's table was built by another declaration than today's. #}
{% macro is_outdated() -%}
    {%- set known = millrace.editions() -%}
    {%- if model.unique_id not in known.decided -%}
        {%- set wanted = millrace.wanted_edition(model) -%}
        {%- set recorded = known.recorded.get(millrace.table_name(model)) or {} -%}
        {%- set outdated = wanted is not none and wanted != recorded.get('edition') -%}
        {%- do known.decided.update({model.unique_id: outdated}) -%}
        {%- if outdated and flags.WHICH in ('build', 'run', 'retry') and adapter.get_relation(this.database, this.schema, this.identifier) -%}
            {%- do log(millrace.table_name(model) ~ ' is built again: ' ~ millrace.why_again(model, recorded), info=True) -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(known.decided[model.unique_id]) }}
{%- endmacro %}


{# The edition that a model's table has once it is built now; none where no stream is behind it or nobody keeps it. #}
{% macro wanted_edition(node) -%}
    {%- if not millrace.editions().is_kept or 'take_turn' not in node.config['pre-hook'] | string -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set basis = millrace.basis_of(node) -%}
    {{ return(local_md5(basis | join(', ')) if basis else none) }}
{%- endmacro %}


{# What a node reads, as texts: declarations of streams, and editions of tables. A view has what it reads itself. #}
{% macro basis_of(node) -%}
    {%- set basis = [] -%}
    {%- set recorded = millrace.editions().recorded -%}
    {%- for unique_id in node.depends_on.nodes | unique | sort -%}
        {%- set source = graph.sources.get(unique_id) -%}
        {%- set parent = graph.nodes.get(unique_id) -%}
        {%- if source and source.source_name == 'raw' and 'fields' in source.config.meta -%}
            {%- do basis.append(millrace.declaration_of(source.name)) -%}
        {%- elif parent and parent.resource_type == 'model' and parent.config.materialized == 'incremental' -%}
            {%- set production = (parent.config.schema or 'main') ~ '.' ~ parent.alias -%}
            {%- set found = recorded.get(millrace.table_name(parent)) or recorded.get(production) -%}
            {%- if found -%}
                {%- do basis.append(parent.name ~ ' ' ~ found.edition) -%}
            {%- endif -%}
        {%- elif parent and parent.resource_type == 'model' -%}
            {%- do basis.extend(millrace.basis_of(parent)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(basis) }}
{%- endmacro %}


{% macro table_name(node) -%}
    {{ return(node.schema ~ '.' ~ node.alias) }}
{%- endmacro %}


{# A model's stream, where it reads one; the model is a staging model then. #}
{% macro stream_of(node) -%}
    {%- for unique_id in node.depends_on.nodes -%}
        {%- set source = graph.sources.get(unique_id) -%}
        {%- if source and source.source_name == 'raw' and 'fields' in source.config.meta -%}
            {{ return(source.name) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(none) }}
{%- endmacro %}


{# The statement that records the edition of the table that is being made; empty where it stays. #}
{% macro record_edition() -%}
    {%- set wanted = millrace.wanted_edition(model) -%}
    {%- if wanted is not none and not is_incremental() -%}
        {{ millrace.note_edition(wanted) }}
        {{ millrace.count_all_conflicts() }}
    {%- endif -%}
{%- endmacro %}


{% macro note_edition(edition) -%}
    {%- set known = millrace.editions() -%}
    {%- set name = millrace.table_name(model) -%}
    {%- set stream = millrace.stream_of(model) -%}
    {%- set declaration = millrace.declaration_of(stream) if stream else none -%}
    {%- set generation = (known.recorded.get(name) or {}).get('generation', 0) + 1 -%}
    {%- do known.recorded.update({name: {'edition': edition, 'declaration': declaration, 'generation': generation}}) -%}
    insert into {{ millrace.kept_editions() }} (table_name, edition, declaration, generation, built_at)
    select
        '{{ name }}',
        '{{ edition }}',
        {{ "'" ~ declaration | replace("'", "''") ~ "'" if declaration else 'null' }},
        coalesce((select max(generation) from {{ millrace.kept_editions() }} where table_name = '{{ name }}'), 0) + 1,
        now();
{%- endmacro %}


{# Why a table is built again, for a person. #}
{% macro why_again(node, recorded) -%}
    {%- set stream = millrace.stream_of(node) -%}
    {%- if not stream -%}
        {{ return('what it reads was') }}
    {%- endif -%}
    {%- if not recorded.get('declaration') -%}
        {{ return('an earlier release staged it') }}
    {%- endif -%}
    {%- set before = fromjson(recorded.declaration) -%}
    {%- set after = fromjson(millrace.declaration_of(stream)) -%}
    {%- set said = [] -%}
    {%- for name in (before.fields.keys() | list + after.fields.keys() | list) | unique -%}
        {%- set old = before.fields.get(name) -%}
        {%- set new = after.fields.get(name) -%}
        {%- if old != new -%}
            {%- do said.append(name ~ ': ' ~ (millrace.field_text(old) if old else 'not declared') ~ ' → ' ~ (millrace.field_text(new) if new else 'not declared')) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for key in (before.keys() | list + after.keys() | list) | unique | sort if key != 'fields' and before.get(key) != after.get(key) -%}
        {%- do said.append(key ~ ': ' ~ before.get(key) ~ ' → ' ~ after.get(key)) -%}
    {%- endfor -%}
    {{ return('streams.yml declares ' ~ stream ~ ' otherwise (' ~ said | join(', ') ~ ')') }}
{%- endmacro %}


{% macro field_text(spec) -%}
    {%- set others = [] -%}
    {%- for key, value in spec.items() if key != 'type' -%}
        {%- do others.append(key ~ ' ' ~ value) -%}
    {%- endfor -%}
    {{ return(spec.type ~ (' (' ~ others | join(', ') ~ ')' if others else '')) }}
{%- endmacro %}

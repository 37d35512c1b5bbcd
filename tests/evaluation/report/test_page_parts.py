from PIL import Image

from usgland.evaluation.report.page_parts import markdown, page, picture, table


def test_markdown_of_a_table_becomes_html_and_tags_in_it_do_not_run():
    html = markdown("| a<br>b | c |\n|---|---|\n| <script>x</script> | d |\n")
    assert "<th>a<br>b</th>" in html
    assert "<script>" not in html
    assert "<td>&lt;i&gt;</td>" in table([("<i>",)])


def test_sections_without_content_are_left_out():
    html = page("t", [("Empty", ""), ("Full", "<p>x</p>")], synthetic=False)
    assert "Empty" not in html and '<a href="#s0">Full</a>' in html


def test_a_large_picture_is_made_smaller(tmp_path):
    Image.new("RGB", (3000, 2000), "white").save(tmp_path / "x.png")
    assert len(picture(tmp_path / "x.png", "x")) < 20_000

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queries", "0001_initial")]

    operations = [
        migrations.AddIndex(
            model_name="orderrow",
            index=models.Index(
                fields=["payment_status", "-created_on", "-order_id"], name="orderrow_by_payment"
            ),
        ),
    ]
